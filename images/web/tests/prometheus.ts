import assert from 'node:assert/strict';

/** Values of samples under their names and labels, as they are written. */
export type Samples = ReadonlyMap<string, number>;

const SAMPLE = /^(?<series>(?<name>[a-z_]+)\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\}) (?<value>\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

/**
 * Reads Prometheus' text format.
 *
 * @throws AssertionError when a line is none of it, a family comes without help, type or in pieces, or a sample comes twice.
 */
export function parse(text: string): Samples {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  const samples = new Map<string, number>();
  const families = new Set<string>();
  let family = '';
  let type = '';
  for (const line of text.trimEnd().split('\n')) {
    const help = /^# HELP ([a-z_]+) \S/.exec(line);
    const kind = /^# TYPE ([a-z_]+) (counter|histogram)$/.exec(line);
    if (help) {
      family = help[1] as string;
      type = '';
      assert.ok(!families.has(family), `${family} comes in pieces`);
      families.add(family);
    } else if (kind) {
      assert.equal(kind[1], family, 'the type follows the help');
      type = kind[2] as string;
    } else {
      const { series = '', name = '', value } = SAMPLE.exec(line)?.groups ?? {};
      assert.ok(series, `not a sample: ${line}`);
      assert.equal(type === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : type && name, family, line);
      assert.ok(!samples.has(series), `${series} comes twice`);
      samples.set(series, Number(value));
    }
  }
  return samples;
}
