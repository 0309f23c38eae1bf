"""Which transfer syntax is taken of several that a caller offers in one presentation context (PS3.8 9.3.3.2)."""

from collections.abc import Sequence

from pynetdicom.presentation import PresentationContext, build_context


def in_callers_order(
    supported: Sequence[PresentationContext], proposed: Sequence[PresentationContext]
) -> list[PresentationContext]:
    """Return what is supported of what was proposed, its transfer syntaxes in the order the caller named them.

    pynetdicom takes the first of the acceptor's own list. A caller names the one first that its objects are in, and
    many cannot, or should not have to, convert a compressed film into the one that we would like best.

    Args:
        supported: one context per SOP class.
        proposed: of the association request; a SOP class may stand in several.
    """
    offered: dict[str, list[str]] = {}
    for context in proposed:
        offered.setdefault(str(context.abstract_syntax), []).extend(map(str, context.transfer_syntax))
    return [
        _ordered(context, offered[context.abstract_syntax])
        for context in supported
        if context.abstract_syntax in offered
    ]


def _ordered(context: PresentationContext, offered: list[str]) -> PresentationContext:
    taken = [syntax for syntax in dict.fromkeys(offered) if syntax in context.transfer_syntax]
    ordered = build_context(context.abstract_syntax, taken or context.transfer_syntax)
    ordered.scu_role, ordered.scp_role = context.scu_role, context.scp_role
    return ordered
