"""What keeps somebody from using a page, by axe-core's rules and by pressing Tab."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

CONTRAST: dict[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
_CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, [tabindex='0'], summary"


def violations(page: Page, options: dict[str, Any] | None = None) -> list[str]:
    """The serious and critical findings of axe-core."""
    said = Axe().run(page, options={"resultTypes": ["violations"], **(options or {})}).response["violations"]
    return [
        f"{finding['id']}: {node['html'][:200]}"
        for finding in said
        if finding["impact"] in {"serious", "critical"}
        for node in finding["nodes"]
    ]


def unreached(page: Page) -> list[str]:
    """The controls that Tab does not reach, and those that do not show that they have the focus."""
    expected: int = page.evaluate(
        """selector => {
          document.activeElement?.blur(); window.getSelection().removeAllRanges();
          const groups = new Set();
          window.controls = [...document.querySelectorAll(selector)].filter(element => {
            if (element.disabled || element.closest("details:not([open]) > :not(summary)")) return false;
            if (getComputedStyle(element).visibility === "hidden" || !element.getClientRects().length) return false;
            if (element.type !== "radio") return true;  // of a group the chosen one alone is a stop
            const checked = element.form.querySelector(`[name="${element.name}"]:checked`);
            return element === (checked ?? element) && !groups.has(element.name) && groups.add(element.name); });
          window.plain = new Map(window.controls.map(c => [c, shown(c)]));
          function shown(element) {
            const style = getComputedStyle(element.type === "radio" ? element.closest("label") ?? element : element);
            return style.outlineStyle + style.outlineWidth + style.boxShadow + style.borderColor; }
          window.shown = shown; window.reached = new Set(); window.dim = [];
          const parts = window.controls.filter(c => c.type === "date").length * 3;  // day, month, year, calendar
          return window.controls.length + parts; }""",
        _CONTROLS,
    )
    for _ in range(expected + 5):
        page.keyboard.press("Tab")
        page.evaluate(
            """() => { const at = document.activeElement; if (reached.has(at)) return; reached.add(at);
              const around = [at, at.closest("tr") ?? at].map(element => getComputedStyle(element));
              const ring = around.some(own => own.outlineStyle !== "none" && parseFloat(own.outlineWidth) >= 1);
              if (plain.has(at) && !ring && plain.get(at) === shown(at)) dim.push(at); }"""
        )
    missed: list[str] = page.evaluate("controls.filter(c => !reached.has(c)).map(c => 'no Tab to ' + c.outerHTML)")
    dim: list[str] = page.evaluate("dim.map(c => 'no ring around ' + c.outerHTML)")
    return [fault[:200] for fault in (*missed, *dim)]
