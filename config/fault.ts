/** One thing that is wrong with the settings. */
export interface Fault {
  /** Where, such as `redis.evictionPolicy`. */
  readonly path: string;
  readonly value: unknown;
  readonly problem: string;
  /** What to do about it. */
  readonly remedy: string;
}

const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));

/** All faults of one environment's settings. Nothing is written once this is thrown. */
export class SettingsError extends Error {
  constructor(
    readonly environment: string,
    readonly faults: readonly Fault[],
  ) {
    const lines = faults.map(({ path, value, problem, remedy }) => `  ${path} is ${show(value)}: ${problem}\n    → ${remedy}`);
    super(`${faults.length} fault(s) in the settings of ${environment} (config/${environment}.ts):\n${lines.join('\n')}`);
    this.name = 'SettingsError';
  }
}
