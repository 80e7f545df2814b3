import type { Times } from './measure';

/** What bench/synthesis.ts prints with --json. */
export interface SynthesisResult {
  readonly conditions: { readonly machine: string; readonly helm: string; readonly objects: number; readonly runs: number };
  readonly targets: { readonly ratio: number; readonly millisecondsPerObject: number };
  readonly app: string;
  readonly synthesis: Times;
  readonly helmTemplate: Times;
  readonly ratio: number;
  readonly processorRatio: number;
  readonly growth: readonly (Times & { readonly objects: number })[];
  /** Of one processor: how long it takes besides says how busy the machine is. */
  readonly millisecondsPerObject: number;
  /** 1 where a further object takes as long among many as among few. */
  readonly bend: number;
  readonly sameBytes: boolean;
}
