"""How a parameter is written on the command line."""

from pydantic.fields import FieldInfo

__all__ = ["flag_of", "negated"]


def flag_of(name: str, field: FieldInfo) -> str:
    """Return a parameter's flag: the one in json_schema_extra={"cli": "--layer"}, or its name."""
    extra = field.json_schema_extra
    chosen = extra.get("cli") if isinstance(extra, dict) else None
    return str(chosen) if chosen else "--" + name.replace("_", "-")


def negated(flag: str) -> str:
    """Return the flag that turns a Boolean parameter off."""
    return flag.replace("--", "--no-", 1)
