// A strict reader of the Prometheus text format 0.0.4: families with help, type and samples, or an error with the line.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

export function parsePrometheus(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, { name: string; type: string; help: string; samples: Sample[] }>();
  const seen = new Set<string>();
  let current: string | undefined;
  for (const [at, line] of text.slice(0, -1).split('\n').entries()) {
    const fail = (why: string): Error => new Error(`line ${at + 1}: ${why}: ${line}`);
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment) {
      const [, kind, name = '', rest = ''] = comment;
      if (kind === 'HELP') {
        if (families.has(name)) throw fail('a family twice');
        families.set(name, { name, type: '', help: rest, samples: [] });
        current = name;
      } else {
        const family = families.get(name);
        if (family === undefined || family.type !== '' || current !== name) throw fail('TYPE in the wrong place');
        if (!/^(counter|gauge|histogram|summary|untyped)$/.test(rest)) throw fail('unknown type');
        family.type = rest;
      }
      continue;
    }
    if (line.startsWith('#')) throw fail('an odd comment');
    const sample = sampleOf(line);
    if (sample === undefined) throw fail('not a sample');
    const family = current === undefined ? undefined : families.get(current);
    if (family === undefined) throw fail('a sample without a family');
    const suffixes =
      family.type === 'histogram'
        ? ['_bucket', '_sum', '_count']
        : family.type === 'summary'
          ? ['', '_sum', '_count']
          : [''];
    if (!suffixes.some((suffix) => sample.name === family.name + suffix)) throw fail(`not of family ${family.name}`);
    const key = sample.name + JSON.stringify(Object.entries(sample.labels).toSorted());
    if (seen.has(key)) throw fail('a series twice');
    seen.add(key);
    family.samples.push(sample);
  }
  return families;
}

function sampleOf(line: string): Sample | undefined {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?)|[+-]Inf|Nan)$/i.exec(line);
  if (match === null) return undefined;
  const [, name = '', labelText = '', valueText = ''] = match;
  const labels: Record<string, string> = {};
  let rest = labelText;
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,|$)/.exec(rest);
    if (label === null) return undefined;
    const [whole, key = '', value = ''] = label;
    if (Object.hasOwn(labels, key)) return undefined;
    labels[key] = value.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
    rest = rest.slice(whole.length);
  }
  const value = /inf/i.test(valueText) ? (valueText.startsWith('-') ? -Infinity : Infinity) : Number(valueText);
  return { name, labels, value };
}
