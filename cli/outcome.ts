import type { EnvironmentName } from '../config';

/** Options of every command. */
export interface CommonOptions {
  readonly env: EnvironmentName;
  readonly context?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** What a command found or did. */
export interface Outcome<Result extends object = object> {
  readonly ok: boolean;
  /** Where it is not ok; 1 when absent. */
  readonly exitCode?: number;
  /** The document of --json, beside `ok` and `error`. */
  readonly result: Result;
  /** For people. */
  readonly text: string;
  /** Why the command ended early, where it has results nevertheless. */
  readonly error?: unknown;
  /** What goes on once this has been told, until the command is interrupted. */
  readonly stay?: () => Promise<void>;
}

/** Seconds as people say them: in the largest unit that there are at least two of. */
export function age(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
  ] as const;
  const unit = units.find(([, size]) => seconds >= 2 * size);
  return unit ? `${Math.floor(seconds / unit[1])}${unit[0]}` : `${Math.round(seconds)}s`;
}

/** Bytes as people say them, in binary units. */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** Lines up columns, the first row being their names. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)));
  return rows
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
