// Measures how long a deployment takes, on a cluster that has the images and no `local`: npx tsx bench/deployment.ts [--runs N] [--json]
//
// From a namespace with nothing but its Secrets, in turn by `orfeas deploy` and by `kubectl apply` and waiting. Both are compared with what
// the slowest pod takes to become ready once its containers are started, which no way of deploying changes. The studio is there at the end.
import { parseArgs } from 'node:util';
import { command, kubectl, list, namespace, removeNamespace } from '../test/cluster/support';
import { median } from './measure';

export interface DeploymentResult {
  readonly conditions: { readonly runs: number };
  readonly orfeasSeconds: number;
  readonly kubectlSeconds: number;
  readonly slowestPod: string;
  readonly slowestPodSeconds: number;
  /** `orfeas deploy`, as a multiple of `kubectl apply`. */
  readonly ratio: number;
  readonly ofSlowestPod: number;
}

const byOrfeas = () => command(['deploy', '--skip-build']);

async function byKubectl(): Promise<void> {
  await kubectl(['apply', '-f', 'dist/local']);
  const workloads = (await kubectl(['-n', namespace, 'get', 'deployments,statefulsets', '-o', 'name'])).toString().trim().split('\n');
  await Promise.all(workloads.map(workload => kubectl(['-n', namespace, 'rollout', 'status', workload, '--timeout=300s'])));
}

async function seconds(deploy: () => Promise<unknown>): Promise<number> {
  await removeNamespace(namespace);
  for (const prepare of ['secrets', 'tls']) await command([prepare]);
  const begin = performance.now();
  await deploy();
  return (performance.now() - begin) / 1000;
}

/** The pod that was last to be ready after its first container was started. Kubernetes tells whole seconds. */
async function slowestPod(): Promise<{ name: string; seconds: number }> {
  const time = (text: string) => new Date(text).getTime() / 1000;
  const pods = (await list('-n', namespace, 'pods')).map(({ metadata, status }) => {
    const started = status.containerStatuses.map(({ state }: { state: { running: { startedAt: string } } }) =>
      time(state.running.startedAt),
    );
    const ready = status.conditions.find(({ type }: { type: string }) => type === 'Ready');
    return { name: metadata.labels['app.kubernetes.io/name'] as string, seconds: time(ready.lastTransitionTime) - Math.min(...started) };
  });
  return pods.reduce((slowest, pod) => (pod.seconds > slowest.seconds ? pod : slowest));
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } } });
  const runs = Number(values.runs);
  if ((await list('namespaces')).some(({ metadata }) => metadata.name === namespace))
    throw new Error(`there is a namespace ${namespace}, and this would remove it: remove it yourself, with all its data`);
  const [orfeas, byHand, pods]: [number[], number[], { name: string; seconds: number }[]] = [[], [], []];
  for (let run = 1; run <= runs; run++) {
    console.error(`run ${run} of ${runs}`);
    byHand.push(await seconds(byKubectl));
    pods.push(await slowestPod());
    orfeas.push(await seconds(byOrfeas));
    pods.push(await slowestPod());
  }
  const [orfeasSeconds, kubectlSeconds, slowestPodSeconds] = [orfeas, byHand, pods.map(pod => pod.seconds)].map(median) as [
    number,
    number,
    number,
  ];
  const result: DeploymentResult = {
    conditions: { runs },
    orfeasSeconds,
    kubectlSeconds,
    slowestPod: pods[0]?.name ?? '',
    slowestPodSeconds,
    ratio: orfeasSeconds / kubectlSeconds,
    ofSlowestPod: orfeasSeconds / slowestPodSeconds,
  };
  if (values.json) console.log(JSON.stringify(result, undefined, 2));
  else {
    console.table({
      'orfeas deploy': orfeasSeconds,
      'kubectl apply': kubectlSeconds,
      [`start of ${result.slowestPod}`]: slowestPodSeconds,
    });
    console.log(`${result.ratio.toFixed(2)} of kubectl apply, ${result.ofSlowestPod.toFixed(2)} of the start of ${result.slowestPod}`);
  }
}

void main();
