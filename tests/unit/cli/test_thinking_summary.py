from __future__ import annotations

from lab.test_thinking_bench import answer

from outrider.cli.thinking_summary import RULE, summary_lines


def lines(large_latency: float, pair_latency: float) -> list[str]:
    return summary_lines(
        [
            answer("large_model", 0, latency=large_latency, total_tokens=1000, large_tokens=1000),
            answer(
                "speculative_thinking",
                0,
                latency=pair_latency,
                total_tokens=1000,
                large_tokens=452,
                generated_tokens=1250,
                rejected_tokens=250,
                correct=False,
            ),
        ]
    )


def test_the_summary_has_the_form_that_users_know() -> None:
    found = lines(45.32, 28.15)
    assert found[:8] == [
        RULE,
        "BENCHMARK RESULTS SUMMARY",
        RULE,
        "",
        "1. LATENCY (seconds)",
        "-" * 80,
        "Metric               Large Model          Spec Thinking        Speedup",
        "-" * 80,
    ]
    assert "Mean                           45.32s              28.15s               1.61x" in found
    assert "Metric               Large Model          Spec Thinking        Improvement" in found
    assert "Mean                         22.07 t/s           35.52 t/s               1.61x" in found
    assert "3. TOKEN GENERATION" in found
    assert "4. LARGE MODEL USAGE RATIO" in found
    assert "Metric               Large Model          Spec Thinking" in found
    assert "Mean Ratio                    100.0%               45.2%" in found
    assert found[-5:] == [
        RULE,
        "OVERALL SPEEDUP: 1.61x",
        "THROUGHPUT IMPROVEMENT: 1.61x",
        "LARGE MODEL TOKEN REDUCTION: 54.8%",
        RULE,
    ]
    assert max(map(len, found)) <= 80


def test_what_comes_on_top() -> None:
    found = lines(2.0, 1.0)
    assert "Accuracy                      100.0%                0.0%" in found
    assert "Rejected Tokens                 0.0%               20.0%" in found
    assert "accuracy, spec thinking: 0 of 1" in found
    assert any("too few to believe" in line for line in found)


def test_an_arm_that_was_not_measured_is_a_dash() -> None:
    found = summary_lines([answer("large_model", 0)])
    assert "Mean                            2.00s                   -" in found
    assert found[-1] == RULE
    assert not any("OVERALL" in line for line in found)
    alone = summary_lines([answer("small_model", 0)])
    assert any(line.startswith("Metric               Small Model") for line in alone)
