"""Names for sliders, which ipywidgets shows beside them but does not tell a screen reader.

The same unseen widget notices when the page was loaded anew: widgets find their kernel again then,
pictures do not.
"""

import ipywidgets as widgets
import traitlets

try:
    from anywidget import AnyWidget
except ImportError:
    AnyWidget = None

SCRIPT = """
export default () => { let views = 0; return { render({ model, el }) {
  // shown once, and all of that is gone: the page was loaded anew, or the notebook opened again
  if (model.get("shown") && !views) model.set("orphaned", true);
  model.set("shown", true);
  model.save_changes();
  views += 1;
  const text = (slider, part) => slider.querySelector(part)?.textContent.trim();
  const tell = (node, key, value) => {  // only what is new, or the observer would never rest
    if (value && node.getAttribute(key) !== value) node.setAttribute(key, value);
  };
  const name = () => el.parentElement?.querySelectorAll("[role=slider]").forEach((handle) => {
    const slider = handle.closest(".widget-inline-hbox");
    if (!slider) return;
    tell(handle, "aria-label", text(slider, ".widget-label"));
    tell(handle, "aria-valuetext", text(slider, ".widget-readout"));
  });
  const observer = new MutationObserver(name);
  const begin = () => {
    if (!el.parentElement) return requestAnimationFrame(begin);  // not yet put into its box
    observer.observe(el.parentElement, { subtree: true, childList: true, characterData: true,
      attributeFilter: ["aria-valuetext"] });
    name();
  };
  begin();
  return () => { views -= 1; observer.disconnect(); };
} }; };
"""


def names() -> list[widgets.Widget]:
    """Return what names the sliders of the box that it is put into: one unseen widget, or none.

    Their label becomes their name, and what they show their value: a logarithmic slider would
    tell its exponent. Without anywidget there is nothing to put in.
    """
    if AnyWidget is None:
        return []
    return [_Names(layout=widgets.Layout(display="none"))]


if AnyWidget is not None:

    class _Names(AnyWidget):
        _esm = SCRIPT
        shown = traitlets.Bool(False).tag(sync=True)
        orphaned = traitlets.Bool(False).tag(sync=True)
