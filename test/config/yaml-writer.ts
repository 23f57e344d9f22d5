// Writes plain data as YAML, in block or in flow style, words bare where that is safe. Not here: anything that policies do not need.

export type Style = 'block' | 'flow' | 'mixed';

export function yamlOf(value: unknown, style: Style): string {
  if (style === 'flow') return `${flow(value)}\n`;
  return block(value, '', style === 'mixed' ? 1 : Number.POSITIVE_INFINITY);
}

/** `deep`: how many levels stand in block style before flow begins. */
function block(value: unknown, indent: string, deep: number): string {
  if (Array.isArray(value) && value.length > 0 && deep > 0) {
    return value.map((item) => `${indent}- ${block(item, `${indent}  `, deep - 1).trimStart()}`).join('');
  }
  if (isPlain(value) && Object.keys(value).length > 0 && deep > 0) {
    return Object.entries(value)
      .map(([key, item]) => {
        const nested = (Array.isArray(item) && item.length > 0) || (isPlain(item) && Object.keys(item).length > 0);
        if (!nested || deep < 2) return `${indent}${key}: ${flow(item)}\n`;
        return `${indent}${key}:\n${block(item, `${indent}  `, deep - 1)}`;
      })
      .join('');
  }
  return `${flow(value)}\n`;
}

function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (isPlain(value)) {
    const pairs = Object.entries(value).map(([key, item]) => `${key}: ${flow(item)}`);
    return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`;
  }
  return typeof value === 'string' ? word(value) : JSON.stringify(value);
}

function word(text: string): string {
  const bare = /^[a-z][a-z0-9-]*$/.test(text) && !/^(true|false|null|y|n|yes|no|on|off)$/.test(text);
  return bare || /^\d+(s|ms|%)$/.test(text) ? text : JSON.stringify(text);
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
