"""The command line over the default model: in this process, and as users start it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from outrider.cli.app import app
from outrider.cli.output import size
from outrider.engines.native import fast_kernels
from outrider.lab import engine_bench
from outrider.plan import Plan
from outrider.sampling import derive_seed

COMMAND = (sys.executable, "-m", "outrider")


@pytest.fixture
def model(model_path: Path) -> list[str]:
    return ["-m", str(model_path), "--context", "1024"]


def run(*arguments: str, stdin: str | None = None, color: bool = False) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin, color=color)


def run_json(*arguments: str, stdin: str | None = None) -> dict[str, Any]:
    result = run(*arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert isinstance(values, dict)
    return values


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    # A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
        **options,
    )


# ------------------------------------------------------------------------------------ generate


def test_generate_streams_an_answer_and_says_how_fast(model: list[str]) -> None:
    result = run("generate", *model, "--raw", "--max-tokens", "3", "The capital of France is")

    assert result.exit_code == 0
    assert result.stdout.startswith(" Paris")
    assert result.stderr.startswith("3 tokens, ")
    assert "prompt 5" in result.stderr


def test_generate_speaks_through_the_chat_template(model: list[str]) -> None:
    values = run_json("generate", *model, "--max-tokens", "4", "--system", "Be brief.", "Hi")

    (completion,) = values["completions"]
    assert completion["prompt"] == "Hi"
    raw = run_json("generate", *model, "--max-tokens", "4", "--raw", "Hi")["completions"][0]
    assert len(raw["prompt_tokens"]) == 1
    assert len(completion["prompt_tokens"]) > 10


def test_generate_json_has_everything_to_repeat_it(model: list[str]) -> None:
    ask = ["generate", *model, "--temperature", "1.2", "--max-tokens", "12", "-n", "2"]
    values = run_json(*ask, "--logprobs", "2", "Tell me a story.")

    assert values["settings"] == {"max_tokens": 12, "temperature": 1.2, "n": 2, "logprobs": 2}
    assert values["context"] == 1024
    assert values["drafter"] == "mixed"
    assert values["threads"] >= 1
    assert values["kernel"]
    (completion,) = values["completions"]
    assert completion["index"] == completion["turn"] == 0
    assert completion["record"]["drafter"] == "mixed"
    assert completion["record"]["controller"] == "cost"
    assert completion["record"]["why_plain"] is None
    first, second = completion["choices"]
    assert first["tokens"] != second["tokens"]
    assert first["finish_reason"] in {"length", "stop"}
    assert first["usage"]["completion_tokens"] == len(first["tokens"])
    assert [value["token"] for value in first["logprobs"]] == first["tokens"]
    assert all(len(value["top"]) == 2 for value in first["logprobs"])
    assert values["completion_tokens"] == len(first["tokens"]) + len(second["tokens"])

    again = run_json(*ask, "--seed", str(completion["seed"]), "Tell me a story.")
    assert [c["text"] for c in again["completions"][0]["choices"]] == [
        first["text"],
        second["text"],
    ]


def test_generate_reads_standard_input(model: list[str]) -> None:
    ask = ["generate", *model, "--raw", "--max-tokens", "3"]

    assert run(*ask, "-", stdin="The capital of France is\n").stdout == (
        run(*ask, "The capital of France is").stdout
    )


def test_stop_strings_end_an_answer(model: list[str]) -> None:
    ask = ["generate", *model, "--raw", "--max-tokens", "30", "Once upon a time"]
    free = run_json(*ask)["completions"][0]["choices"][0]
    words = free["text"].split()

    stopped = run_json(*ask, "--stop", words[6], "--stop", words[4])["completions"][0]["choices"][0]

    assert stopped["finish_reason"] == "stop"
    assert (
        stopped["text"] == free["text"][: min(free["text"].index(w) for w in (words[4], words[6]))]
    )


@pytest.mark.parametrize("temperature", ["0", "0.9"])
def test_a_drafter_changes_no_token(
    model: list[str], monkeypatch: pytest.MonkeyPatch, temperature: str
) -> None:
    ask = ["generate", *model, "--seed", "4", "--temperature", temperature, "--max-tokens", "40"]
    text = "Repeat after me: red green blue, red green blue, red green blue, red green blue."

    ngram = ("--drafter", "ngram", "--controller", "fixed", "--num-draft-tokens", "4")
    by_default, drafted, off, none = (
        run_json(*ask, *options, text)
        for options in (
            (),
            ngram,
            ("--drafter", "ngram", "--no-speculation"),
            ("--drafter", "none"),
        )
    )
    monkeypatch.setenv("OUTRIDER_SPECULATION", "off")
    switched_off = run_json(*ask, text)

    every = (by_default, drafted, off, none, switched_off)
    choices = [values["completions"][0]["choices"][0] for values in every]
    assert all(choice["tokens"] == choices[0]["tokens"] for choice in choices)
    assert choices[1]["usage"]["draft_tokens"] > 0
    for values, why in (
        (off, "speculation is switched off"),
        (none, "the drafter is 'none'"),
        (switched_off, "OUTRIDER_SPECULATION switches it off"),
    ):
        (completion,) = values["completions"]
        assert completion["choices"][0]["usage"]["draft_tokens"] == 0
        assert values["drafter"] == completion["record"]["drafter"] == "none"
        assert completion["record"]["why_plain"] == why


def test_a_plan_of_another_model_is_pointed_out(model: list[str], tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    record = {"model": "some-other-model", "fingerprint": "0" * 16}
    Plan(name="tuned", drafter="ngram", record=record).save(path)
    asked = ["generate", *model, "--plan", str(path), "--max-tokens", "1", "Hi"]
    result = run(*asked)
    assert result.exit_code == 0
    assert "The plan tuned was found with some-other-model" in result.stderr


REPEAT = "Repeat after me: red green blue, red green blue, red green blue, red green blue."
NGRAM = ("--drafter", "ngram", "--controller", "fixed")
DRAFT_LINE = re.compile(r"^draft: accepted (\d+)/(\d+) tokens \((\d+\.\d)%\)$", re.MULTILINE)


def lines_and_usages(result: Result) -> tuple[list[tuple[int, int]], list[dict[str, Any]]]:
    """What `--draft-debug` said, and the counters of the same answers."""
    assert result.exit_code == 0, result.stderr
    lines = [(int(a), int(d)) for a, d, _ in DRAFT_LINE.findall(result.stderr)]
    completions = json.loads(result.stdout)["completions"]
    return lines, [choice["usage"] for c in completions for choice in c["choices"]]


@pytest.mark.parametrize("extra", [(), ("-n", "3", "--temperature", "1", "--seed", "2")])
def test_draft_debug_says_a_line_for_each_draft(model: list[str], extra: tuple[str, ...]) -> None:
    ask = ["generate", *model, *NGRAM, "--num-draft-tokens", "4", "--draft-debug"]
    result = run(*ask, "--max-tokens", "40", *extra, "--json", REPEAT)
    lines, usages = lines_and_usages(result)
    assert len(lines) == sum(usage["draft_steps"] for usage in usages) > 0
    assert sum(a for a, _ in lines) == sum(usage["accepted_tokens"] for usage in usages)
    assert sum(d for _, d in lines) == sum(usage["draft_tokens"] for usage in usages)
    assert all(line.startswith("draft: accepted ") for line in result.stderr.splitlines())


def test_draft_debug_of_many_prompts_and_of_a_chat(model: list[str], tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text(f"{REPEAT}\nSay it again: {REPEAT}\n")
    options = [*model, "--controller", "fixed", "--max-tokens", "20", "--draft-debug", "--json"]
    for result in (
        run("generate", *options, "--prompts", str(path)),
        run("chat", *options, stdin=f"{REPEAT}\nAgain.\n"),
    ):
        lines, usages = lines_and_usages(result)
        assert len(lines) == sum(usage["draft_steps"] for usage in usages) > 0
        assert sum(a for a, _ in lines) == sum(usage["accepted_tokens"] for usage in usages)


def test_draft_debug_without_drafts_says_why(model: list[str]) -> None:
    ask = ["generate", *model, "--max-tokens", "2", "--draft-debug", "Hi"]
    none = run(*ask, "--drafter", "none").stderr
    assert "draft: nothing was drafted: the drafter is 'none'\n" in none
    off = run(*ask, "--drafter", "ngram", "--no-speculation").stderr
    assert "draft: nothing was drafted: speculation is switched off\n" in off


def test_show_drafts_marks_tokens_and_draws_a_picture(
    model: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    ask = ["generate", *model, *NGRAM, "--max-tokens", "40"]
    plain = run(*ask, REPEAT).stdout
    answer, _, picture = run(*ask, "--show-drafts", REPEAT).stdout.partition("\ntokens by source\n")
    assert "[n|" in answer
    assert re.sub(r"\[n\|([^\]]*)\]", r"\1", answer) == plain
    assert "[n|ngram]" in picture
    assert "accepted by position, of " in picture
    assert max(map(len, picture.splitlines())) <= 80

    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    path = tmp_path / "prompts.txt"
    path.write_text(REPEAT)
    many = run(*ask, "--show-drafts", "--prompts", str(path), color=True).stdout
    assert "\x1b[36m" in many.partition("tokens by source")[0]
    assert run(*ask, "--show-drafts", "--json", "Hi").exit_code == 2


# ------------------------------------------------------------------------------- many prompts


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    lines = [
        {"turns": ["Name a colour.", "Name another."], "category": "naming", "question_id": 81},
        {"turns": ["Name a fruit."], "category": "naming"},
        {"question": "What is 2 + 3?", "category": "counting"},
        {"prompt": "Say good morning."},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_prompts_of_a_file_are_answered_turn_by_turn(model: list[str], questions: Path) -> None:
    ask = ["generate", *model, "--prompts", str(questions), "--max-tokens", "8", "--seed", "5"]
    values = run_json(*ask, "--temperature", "0.8", "--max-streams", "4")

    done = values["completions"]
    assert [(c["index"], c["turn"], c["category"], c["id"]) for c in done] == [
        (0, 0, "naming", "81"),
        (1, 0, "naming", None),
        (2, 0, "counting", None),
        (3, 0, None, None),
        (0, 1, "naming", "81"),
    ]
    assert [c["seed"] for c in done] == [
        *(derive_seed(5, index) for index in range(4)),
        derive_seed(5, 0, 1),
    ]
    first, second = done[0], done[4]
    assert second["choices"][0]["usage"]["cached_tokens"] > 0
    opening = first["prompt_tokens"] + first["choices"][0]["tokens"]
    assert second["prompt_tokens"][: len(opening)] == opening

    alone = run_json(*ask, "--temperature", "0.8", "--max-streams", "1")
    assert [c["choices"][0]["tokens"] for c in alone["completions"]] == [
        c["choices"][0]["tokens"] for c in done
    ]
    # Any answer can be had again alone.
    third = run_json(
        "generate", *model, "--max-tokens", "8", "--temperature", "0.8",
        "--seed", str(done[2]["seed"]), "What is 2 + 3?",
    )  # fmt: skip
    assert third["completions"][0]["choices"][0]["tokens"] == done[2]["choices"][0]["tokens"]


def test_limit_is_even_over_categories(model: list[str], questions: Path) -> None:
    ask = ["generate", *model, "--prompts", str(questions), "--max-tokens", "1", "--seed", "5"]
    done = run_json(*ask, "--limit", "3")["completions"]

    assert [c["index"] for c in done if c["turn"] == 0] == [0, 2, 3]
    assert done[1]["seed"] == derive_seed(5, 2)


def test_many_answers_are_shown_in_their_order(model: list[str], tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("One plus one is\n\nTwo plus two is\n")

    result = run("generate", *model, "--prompts", str(path), "--raw", "--max-tokens", "2")

    assert result.exit_code == 0
    assert len(result.stdout.split("\n\n")) >= 2
    assert result.stderr.index("[0] One plus") < result.stderr.index("[1] Two plus")
    assert "2 answers · 4 tokens" in result.stderr


# ---------------------------------------------------------------------------------------- chat


def test_chat_remembers_and_reuses_the_cache(model: list[str]) -> None:
    values = run_json(
        "chat", *model, "--max-tokens", "16", "--system", "Be brief.",
        stdin="My name is Ann, and I live in a small house by the sea.\n\nWhat is my name?\n",
    )  # fmt: skip

    assert [m["role"] for m in values["messages"]] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    first, second = values["completions"]
    assert first["choices"][0]["text"] == values["messages"][2]["content"]
    assert second["choices"][0]["usage"]["cached_tokens"] >= 32


def test_chat_obeys_its_commands(model: list[str]) -> None:
    values = run_json(
        "chat", *model, "--max-tokens", "2",
        stdin="Hi\n/help\n/system You are a cat.\nWho are you?\n/reset\nHo\n/exit\nnever said\n",
    )  # fmt: skip

    assert [m["content"] for m in values["messages"][:2]] == ["You are a cat.", "Ho"]
    assert len(values["messages"]) == 3
    assert len(values["completions"]) == 3


def test_chat_prints_answers_only(model: list[str]) -> None:
    result = run("chat", *model, "--max-tokens", "5", stdin="Say hello.\n")
    answer = run_json("chat", *model, "--max-tokens", "5", stdin="Say hello.\n")

    assert result.stdout == answer["messages"][1]["content"] + "\n"
    assert "cut at the limit" in result.stderr


def test_chat_ends_with_what_went_wrong_where_it_is_piped(model: list[str]) -> None:
    result = run("chat", *model, stdin="/rest\n")
    assert result.exit_code == 2
    assert "Unknown command '/rest'; did you mean '/reset'?" in result.stderr

    result = run("chat", *model, stdin="word " * 1200 + "\n")
    assert result.exit_code == 2
    assert "the context holds 1024" in result.stderr


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--max-tokens", "1024", "Hi"], 2, "do not fit the context of 1024"),
        (["--top-p", "0", "Hi"], 2, "top_p has to lie in"),
        (["--temperature", "-1", "Hi"], 2, "temperature has to lie in"),
        (["--threads", "0", "Hi"], 2, "number of threads"),
        (["--kernel", "abacus", "Hi"], 2, "Unknown kernel 'abacus'"),
        (["--cache-budget", "lots", "Hi"], 2, "'lots' is not a size"),
        (["--cache-budget", "2MB", "--max-tokens", "500", "Hi"], 5, "raise the cache budget"),
        (["--drafter", "ngrm", "Hi"], 2, "did you mean 'ngram'?"),
        (["--drafter", "none", "--num-draft-tokens", "2", "Hi"], 2, "needs a drafter"),
        (["--limit", "2", "Hi"], 2, "--limit needs --prompts"),
        (["--logprobs", "2", "Hi"], 2, "--logprobs needs --json"),
        (["--raw", "--system", "x", "Hi"], 2, "--system needs the chat template"),
        (["--prompts", "nowhere.jsonl"], 2, "nowhere.jsonl cannot be read"),
        (["--prompts", "nowhere.jsonl", "Hi"], 2, "either a prompt or --prompts"),
        ([], 2, "either a prompt or --prompts"),
        ([""], 2, "The prompt is empty"),
    ],
)
def test_what_cannot_be_honoured_is_one_line(
    model: list[str], arguments: list[str], status: int, message: str
) -> None:
    result = run("generate", *model, *arguments)

    assert result.exit_code == status
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_unknown_options_and_commands_name_the_nearest() -> None:
    result = run("generate", "--tempreture", "1", "Hi")
    assert result.exit_code == 2
    assert "--temperature" in result.stderr

    result = run("genrate", "Hi")
    assert result.exit_code == 2
    assert "'generate'" in result.stderr


def test_files_that_are_no_model_have_their_own_status(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("no model")

    result = run("generate", "-m", str(path), "Hi")

    assert result.exit_code == 3
    assert result.stderr.startswith(f"error: {path}: ")
    assert run("doctor", "-m", str(path)).exit_code == 3
    assert run("generate", "-m", "smollm", "Hi").exit_code == 2


# ------------------------------------------------------------------------------ other commands


def test_list_shows_catalogue_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")

    values = run_json("list")

    assert values["cache"] == str(tmp_path)
    assert [m["name"] for m in values["models"]] == ["smollm2-135m-instruct", "gemma3-270m"]
    assert not any(m["installed"] for m in values["models"])
    table = run("list").stdout
    assert "needs --accept-terms" in table
    assert max(map(len, table.splitlines())) <= 80


def test_pull_that_may_not_use_the_network_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path))
    monkeypatch.setenv("OUTRIDER_OFFLINE", "1")
    monkeypatch.delenv("OUTRIDER_ACCEPT_TERMS", raising=False)

    assert run("pull", "smollm2-135m-instruct").exit_code == 4
    assert run("pull", "gemma3-270m").exit_code == 2
    assert "did you mean" in run("pull", "gemma3-270").stderr


def test_pull_of_a_file_says_where_it_is(model_path: Path) -> None:
    assert run("pull", str(model_path)).stdout == f"{model_path}\n"
    assert run_json("pull", str(model_path))["path"] == str(model_path)


def test_doctor_says_what_was_repacked_how(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    values = run_json("doctor", "-m", str(model_path), "--threads", "1")

    assert values["engine"]["threads"] == 1
    assert values["engine"]["kernel"] in values["engine"]["kernels"]
    assert values["engine"]["memory_bandwidth_gb_s"] > 0
    assert sum(values["model"]["repacked"].values()) == 211
    assert values["model"]["cost"]["rows_ms"]["1"] > 0
    assert values["versions"]["outrider"]

    text = run("doctor", "-m", str(model_path), "--threads", "1").stdout
    assert "Q8_0 → 8-bit: 1 tensor" in text
    assert f"{size(values['model']['weight_bytes'])} in memory; a pass reads " in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.skipif(len(fast_kernels()) < 2, reason="this machine runs one kernel alone")
def test_doctor_says_what_a_better_kernel_would_give(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    best, *others = fast_kernels()
    values = run_json("doctor", "-m", str(model_path), "--kernel", others[-1])["model"]
    assert values["better_kernel"]["name"] == best
    assert values["better_kernel"]["rows_ms"].keys() == values["cost"]["rows_ms"].keys()
    assert run_json("doctor", "-m", str(model_path))["model"]["better_kernel"] is None
    text = run("doctor", "-m", str(model_path), "--kernel", others[-1]).stdout
    assert f"the kernel {best} would take" in text
    assert max(map(len, text.splitlines())) <= 80


def test_doctor_without_the_model_still_examines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTRIDER_CACHE", str(tmp_path / "not" / "yet"))

    result = run("doctor", "--threads", "1")

    assert result.exit_code == 0
    assert "`outrider pull smollm2-135m-instruct` fetches it" in result.stderr
    assert run_json("doctor", "--threads", "1")["model"] is None


def test_bench_engine_is_a_record(model_path: Path) -> None:
    ask = ["bench", "engine", "-m", str(model_path), "--repeats", "1", "--context", "64"]
    values = run_json(*ask)

    assert list(values["rows_ms"]) == ["1", "2", "4", "5", "8", "16", "32"]
    assert all(ms > 0 for ms in values["rows_ms"].values())
    assert values["context"] == 64
    assert values["bandwidth_share"] > 0
    assert values["bandwidth_share_of_best"] == pytest.approx(
        values["bytes_per_token"]
        * values["decode_tokens_per_second"]
        / (values["memory_bandwidth_gb_s"] * 1e9)
    )
    assert values["bytes_per_token"] == values["file_bytes"] + 23040 * (64 + 31 / 2)
    for key in ("prefill_tokens_per_second", "kernel", "threads", "fingerprint", "machine"):
        assert values[key]

    table = run(*ask)
    assert table.exit_code == 0
    assert "share reached" in table.stdout

    assert run("bench", "engine", "-m", str(model_path), "--context", "9000").exit_code == 2
    assert run("bench", "engine", "-m", str(model_path), "--repeats", "0").exit_code == 2


def test_a_spread_is_a_median_between_extremes() -> None:
    assert engine_bench.Spread.of([3.0, 1.0, 10.0]) == engine_bench.Spread(3.0, 1.0, 10.0)


def test_version_is_the_packages() -> None:
    assert run("--version").stdout.startswith("outrider ")


# ------------------------------------------------------------------------------- as a process


def test_interruption_ends_cleanly(model: list[str]) -> None:
    process = start("generate", *model, "--ignore-eos", "--max-tokens", "900", "Count for ever.")
    assert process.stdout is not None
    assert process.stdout.read(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert errors.strip() == ""


def test_interruption_of_many_ends_cleanly(model: list[str], tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("Hi\n" + "Count for ever.\n" * 40)
    process = start(
        "generate", *model, "--prompts", str(path), "--raw", "--ignore-eos", "--max-tokens", "200",
        "--max-streams", "1",
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "leaked" not in errors


def test_interruption_in_a_chat_stops_the_answer_only(model: list[str]) -> None:
    process = start("chat", *model, "--json", "--max-tokens", "8", stdin=subprocess.PIPE)
    assert process.stdin is not None
    out, errors = process.communicate("Hi\n", timeout=60)
    assert process.returncode == 0, errors
    assert len(json.loads(out)["completions"]) == 1

    process = start("chat", *model, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Write a very long story about the sea, with many chapters.\n")
    process.stdin.flush()
    assert process.stdout.read(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate("/exit\n", timeout=60)

    assert process.returncode == 0
    assert "stopped" in errors


def test_a_closed_pipe_ends_quietly(model: list[str]) -> None:
    process = start("generate", *model, "--ignore-eos", "--max-tokens", "900", "Count for ever.")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(2)
    process.stdout.close()
    errors = process.stderr.read()

    assert process.wait(timeout=60) == 141
    process.stderr.close()
    assert errors == ""


def test_standard_input_and_output_are_the_shells(model: list[str]) -> None:
    process = start("generate", *model, "--max-tokens", "2", "--json", "-", stdin=subprocess.PIPE)
    out, _ = process.communicate("Hi\n", timeout=60)

    assert process.returncode == 0
    assert json.loads(out)["completions"][0]["prompt"] == "Hi"
