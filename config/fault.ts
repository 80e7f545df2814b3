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

const report = (environment: string, faults: readonly Fault[]): string =>
  [
    `${faults.length} ${faults.length === 1 ? 'fault' : 'faults'} in the settings of ${environment} (config/${environment}.ts):`,
    ...faults.map(({ path, value, problem, remedy }) => `  ${path} is ${show(value)}: ${problem}\n    → ${remedy}`),
  ].join('\n');

/** All faults of one or more environments. Nothing is written once this is thrown. */
export class SettingsError extends Error {
  constructor(readonly faults: Readonly<Record<string, readonly Fault[]>>) {
    super(
      Object.entries(faults)
        .map(([environment, found]) => report(environment, found))
        .join('\n\n'),
    );
    this.name = 'SettingsError';
  }
}
