// A self-contained HTML page and the policy that allows exactly its own script and style, by hash.

import { createHash } from 'node:crypto';

export interface Page {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

export interface PageParts {
  readonly title: string;
  readonly style: string;
  /** Static markup. Data comes in through the script, as text nodes only. */
  readonly body: string;
  readonly script: string;
}

export function page({ title, style, body, script }: PageParts): Page {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${BASE_STYLE}${style}</style>
</head>
<body>
${body}
<script type="module">${script}</script>
</body>
</html>
`;
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(BASE_STYLE + style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return { html, contentSecurityPolicy: policy.join('; ') };
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

const BASE_STYLE = `
:root { --bg: #f6f7f9; --card: #fff; --text: #1b2430; --dim: #667085; --line: #e3e7ee; --accent: #2563eb;
  --good: #15803d; --warn: #b45309; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --bg: #0f141b; --card: #171e28; --text: #e6eaf0; --dim: #93a0b4;
  --line: #283241; --accent: #7aa2ff; --good: #4ade80; --warn: #fbbf24; --bad: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 1rem 1.25rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .4rem 1.25rem; }
h1 { font-size: 1.35rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: .8rem; margin: 1.6rem 0 .6rem; text-transform: uppercase; letter-spacing: .08em; color: var(--dim); }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
code, .mono { font-family: ui-monospace, monospace; font-size: .9em; }
.dim { color: var(--dim); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .9rem 1.1rem; margin-bottom: .8rem; }
`;
