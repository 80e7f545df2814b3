import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';

export interface Command {
  readonly name: string;
  readonly run: readonly [program: string, ...args: string[]];
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] as number) + (sorted[sorted.length >> 1] as number)) / 2;
};

/** The least value that a share of all do not exceed. */
export const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.ceil(share * values.length) - 1] as number;

export interface Times {
  readonly milliseconds: number;
  /** Of all processors together. */
  readonly processorMilliseconds: number;
}

/** How long a command takes. */
export function time({ name, run }: Command): Times {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>&1';
  const { status, stderr } = spawnSync('bash', ['-c', script, name, ...run], { stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`${name} failed`);
  const [real, user, system] = stderr.toString().trim().split(' ').map(Number) as [number, number, number];
  return { milliseconds: 1000 * real, processorMilliseconds: 1000 * (user + system) };
}

export const medians = (times: readonly Times[]): Times => ({
  milliseconds: median(times.map(({ milliseconds }) => milliseconds)),
  processorMilliseconds: median(times.map(({ processorMilliseconds }) => processorMilliseconds)),
});

/** The median times of each command. They run in turn, after once each that does not count, so that whatever else the machine does meets all. */
export function sideBySide(runs: number, commands: readonly Command[]): Times[] {
  const times = commands.map((): Times[] => []);
  for (let run = 0; run <= runs; run++)
    for (const [index, command] of commands.entries()) {
      const taken = time(command);
      if (run > 0) times[index]?.push(taken);
    }
  return times.map(medians);
}

/** Slope of the straight line that is nearest to points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const sum = (term: (dx: number, dy: number) => number) => points.reduce((total, [px, py]) => total + term(px - x, py - y), 0);
  return sum((dx, dy) => dx * dy) / sum(dx => dx * dx);
}

export const machine = (): string => `${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.versions.node}`;
