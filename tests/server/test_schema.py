"""The API's schema is what the codec takes."""

from dataclasses import dataclass

from irongrid.domain.messages import Directive, ReportAnswer, WorkerReport
from irongrid.server.api.schema import components


def test_a_class_becomes_a_strict_object_with_its_words() -> None:
    schema = components([ReportAnswer])

    assert set(schema) == {"ReportAnswer", "Directive"}
    assert schema["ReportAnswer"] == {
        "type": "object",
        "description": ReportAnswer.__doc__,
        "properties": {
            "accepted_n": {"type": "integer"},
            "directive": {"$ref": "#/components/schemas/Directive"},
        },
        "required": ["accepted_n", "directive"],
        "additionalProperties": False,
    }
    assert schema["Directive"]["properties"]["save"] == {
        "type": "boolean",
        "default": False,
        "description": "with `stop`: whether to ask the ranks for a last checkpoint.",
    }
    assert Directive.__doc__ is not None


def test_a_union_is_told_apart_by_kind() -> None:
    schema = components([WorkerReport])
    facts = schema["WorkerReport"]["properties"]["facts"]["items"]

    assert facts["discriminator"]["mapping"]["gang_failed"] == "#/components/schemas/GangFailed"
    assert schema["GangFailed"]["properties"]["kind"] == {"type": "string", "const": "gang_failed"}
    assert "kind" in schema["GangFailed"]["required"]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A node.

    Attributes:
        left, right: below it;
            or nothing.
    """

    left: "Tree | None"
    right: "Tree | None"


def test_a_class_may_hold_itself() -> None:
    schema = components([Tree])["Tree"]

    assert schema["description"] == "A node."
    assert schema["properties"]["right"] == {
        "anyOf": [{"$ref": "#/components/schemas/Tree"}, {"type": "null"}],
        "description": "below it; or nothing.",
    }
