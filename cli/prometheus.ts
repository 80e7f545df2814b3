import type { Settings } from '../config';
import type { Cluster } from './cluster';
import { CommandError } from './errors';
import { type Forward, forward, readyPod } from './forward';
import { watcherService } from './watchers';

const TIMEOUT_MILLISECONDS = 5_000;

export type Labels = Readonly<Record<string, string>>;

/** The present value of one series. */
export interface Sample {
  /** With the metric's name as `__name__`, where the expression keeps it. */
  readonly labels: Labels;
  readonly value: number;
}

export interface Alert {
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly state: 'pending' | 'firing';
  /** Since when its condition holds, as ISO 8601. */
  readonly activeAt: string;
}

/** The HTTP API of a Prometheus, behind a forwarded port. */
export class Prometheus {
  constructor(
    private readonly server: Pick<Forward, 'get'>,
    private readonly signal: AbortSignal,
  ) {}

  /** Values of an expression that yields an instant vector; those that are no number are left out. */
  async query(expression: string): Promise<Sample[]> {
    const { result } = await this.ask<{ result: { metric: Labels; value: [number, string] }[] }>(
      `/api/v1/query?${new URLSearchParams({ query: expression })}`,
    );
    return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) })).filter(({ value }) => Number.isFinite(value));
  }

  /** Alerts whose condition holds. */
  async alerts(): Promise<Alert[]> {
    return (await this.ask<{ alerts: Alert[] }>('/api/v1/alerts')).alerts;
  }

  private async ask<T>(path: string): Promise<T> {
    const response = await this.server.get(path, this.signal);
    const text = await response.text();
    let answer: { data?: T; error?: string } = {};
    try {
      answer = JSON.parse(text) as typeof answer;
    } catch {}
    if (response.ok && answer.data !== undefined) return answer.data;
    throw new CommandError(`Prometheus answers ${response.status}: ${answer.error ?? text.slice(0, 200)}`);
  }
}

/**
 * Asks the Prometheus that watches the studio.
 *
 * @throws CommandError when it cannot be reached, or takes longer than 5 s.
 */
export async function askPrometheus<T>(
  cluster: Cluster,
  settings: Settings,
  questions: (prometheus: Prometheus) => Promise<T>,
): Promise<T> {
  const forwarded = await forward(cluster, () => readyPod(cluster, watcherService(settings, 'prometheus')), {
    ports: [0],
    onNotice: () => {},
  });
  try {
    return await questions(new Prometheus(forwarded, AbortSignal.timeout(TIMEOUT_MILLISECONDS)));
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { name, message } = error as Error;
    const why = name === 'TimeoutError' ? `within ${TIMEOUT_MILLISECONDS / 1000} s` : `(${message})`;
    throw new CommandError(`Prometheus does not answer ${why}`, 'see its log, or ask it by orfeas open prometheus', { cause: error });
  } finally {
    forwarded.close();
  }
}
