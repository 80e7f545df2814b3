import { get, kubectl, list, namespace, until } from './support';

/** A sample of an instant query. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface Target {
  readonly labels: { readonly job: string; readonly endpoint: string; readonly pod: string };
  readonly health: string;
  readonly lastError: string;
  /** Seconds. */
  readonly lastScrapeDuration: number;
}

/** Ports that serve metrics beside what they are for. */
const served = new Set(['backend http', 'grafana http', 'prometheus web', 'alertmanager web']);

/** Asks the running Prometheus of a studio through the API server. */
async function api(path: string, query: Readonly<Record<string, string>> = {}, studio = namespace) {
  const proxy = `/api/v1/namespaces/${studio}/services/prometheus:web/proxy/api/v1`;
  const answer = JSON.parse((await kubectl(['get', '--raw', `${proxy}/${path}?${new URLSearchParams(query)}`])).toString());
  if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`);
  return answer.data;
}

export const query = async (expression: string, studio = namespace): Promise<Sample[]> =>
  (await api('query', { query: expression }, studio)).result;
export const targets = async (): Promise<Target[]> => (await api('targets', { state: 'active' })).activeTargets;
/** The syntax tree of an expression. */
export const parse = (expression: string) => api('parse_query', { query: expression });
export const rules = async () => (await api('rules')).groups.flatMap(({ rules }: { rules: unknown[] }) => rules);
export const flags = (): Promise<Record<string, string>> => api('status/flags');
export const runtime = (): Promise<Record<string, string>> => api('status/runtimeinfo');

/** Names of the alerts that fire. */
export async function firing(): Promise<string[]> {
  const samples = await query(`ALERTS{alertstate="firing",namespace="${namespace}"}`);
  return [...new Set(samples.map(({ metric }) => metric.alertname as string))].sort();
}

export const value = async (expression: string, studio = namespace): Promise<number | undefined> => {
  const [sample] = await query(expression, studio);
  return sample && Number(sample.value[1]);
};

/** Pods and ports that Prometheus is to ask, as the pods tell them. */
export async function expectedTargets(): Promise<string[]> {
  const pods = await list('-n', namespace, 'pods', '--field-selector=status.phase=Running');
  return pods
    .flatMap(({ metadata, spec }) =>
      spec.containers.flatMap(({ ports = [] }: { ports?: { name: string }[] }) =>
        ports
          .filter(({ name }) => name.includes('metrics') || served.has(`${metadata.labels['app.kubernetes.io/name']} ${name}`))
          .map(({ name }) => `${metadata.name} ${name}`),
      ),
    )
    .sort();
}

/** Waits until Prometheus has asked each of the pods that there are now, and each has answered. */
export const allUp = (seconds = 120) =>
  until('all targets up', seconds, async () => {
    const [active, expected] = await Promise.all([targets(), expectedTargets()]);
    if (active.some(({ health }) => health !== 'up')) return undefined;
    const up = active.map(({ labels }) => `${labels.pod} ${labels.endpoint}`).sort();
    return JSON.stringify(up) === JSON.stringify(expected) && active;
  });

export const prometheusPod = () => get('-n', namespace, 'pod', 'prometheus-0');
