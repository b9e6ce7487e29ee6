"""Questions whose answers can be graded: public sets, files, and generated ones.

A `Task` is a set of problems with a prompt's template and a grader. `load` finds or makes one:

    task = tasks.load("arithmetic:count=200,levels=1-4,seed=7")
    grade = task.grade(task.problems[0], "The sum is 12.")

`load_prompts` takes the same names where nothing is graded, and prompt files beside them.
"""

from outrider.tasks.asking import load_prompts
from outrider.tasks.base import Grade, Problem, Task
from outrider.tasks.extract import extract_answer
from outrider.tasks.loading import load, names

__all__ = ["Grade", "Problem", "Task", "extract_answer", "load", "load_prompts", "names"]
