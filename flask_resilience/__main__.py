"""``python -m flask_resilience``: the commands that need no app."""

from .cli.commands import resilience

if __name__ == "__main__":
    resilience(prog_name="python -m flask_resilience")
