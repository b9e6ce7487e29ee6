"""Questions whose answers can be graded: public sets, files, and generated ones.

A `Task` is a set of problems with a prompt's template and a grader. `load` finds or makes one:

    task = tasks.load("arithmetic:count=200,levels=1-4,seed=7")
    grade = task.grade(task.problems[0], "The sum is 12.")
"""

from outrider.tasks.base import Grade, Problem, Task
from outrider.tasks.extract import extract_answer
from outrider.tasks.loading import load, names

__all__ = ["Grade", "Problem", "Task", "extract_answer", "load", "names"]
