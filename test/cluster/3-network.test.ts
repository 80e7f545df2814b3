import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { BlockList } from 'node:net';
import { promisify } from 'node:util';
import { buildApp } from '../../app';
import { NetworkPolicies, portsOf } from '../../constructs/network-policies';
import { get, kubectl, list, namespace, processes, settings, until } from './support';

/** What listens, or may be asked whether it does. */
interface Target {
  readonly name: string;
  readonly address: string;
  readonly ports: readonly number[];
}

interface Source {
  readonly name: string;
  /** Of a process in its network. */
  readonly pid: number;
}

const OTHERS = 'orfeas-test-network';
/** Where nothing listens: whoever may send there is refused, and does not wait in vain. */
const CLOSED = 1;
/** Of a range that is kept for documentation. */
const OUTSIDE = { address: '198.51.100.2', gateway: '198.51.100.1', port: 443 };
const ip = (...args: readonly string[]) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });

// biome-ignore lint/suspicious/noExplicitAny: as the API server has it
type Pod = any;
const named = ({ metadata }: Pod): string => metadata.labels['app.kubernetes.io/name'];
const running = ({ status, metadata }: Pod): boolean => status.phase === 'Running' && !metadata.deletionTimestamp;
const pidIn = async ({ metadata, spec }: Pod): Promise<number> => {
  const [pid] = await processes(metadata.name, spec.containers[0].name, '', metadata.namespace);
  return pid as number;
};

/** A pod that only waits, with the labels of another. */
const waiting = (name: string, where: string, labels: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: where, labels },
  spec: {
    terminationGracePeriodSeconds: 0,
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'wait',
        image: `${settings.images.registry}/backend:${settings.images.version}`,
        command: ['sleep', 'infinity'],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        resources: {
          requests: { cpu: '1m', memory: '8Mi', 'ephemeral-storage': '1Mi' },
          limits: { cpu: '100m', memory: '32Mi', 'ephemeral-storage': '8Mi' },
        },
      },
    ],
  },
});

/** Who is reached from a network, such as `redis:6379`: connected to or refused by. Whatever a policy denies never answers. */
async function reached({ pid }: Source, targets: readonly Target[]): Promise<string[]> {
  const program = `
import concurrent.futures, json, socket, sys
def reached(target):
    name, address, port = target
    try:
        socket.create_connection((address, port), timeout=2).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        return None
    return f"{name}:{port}"
targets = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps([name for name in pool.map(reached, targets) if name]))`;
  const pairs = targets.flatMap(({ name, address, ports }) => ports.map(port => [name, address, port]));
  const { stdout } = await promisify(execFile)('nsenter', ['--target', `${pid}`, '--net', 'python3', '-c', program, JSON.stringify(pairs)]);
  return JSON.parse(stdout);
}

/** The process whose network is out of the cluster. */
let outside: ChildProcess;
let sources: Source[];
let targets: Target[];
let made: string[];

beforeAll(async () => {
  const templates = await list('-n', namespace, 'cronjobs');
  made = templates.map(({ metadata }) => `network-${metadata.name}`);
  const jobs = templates.map(({ metadata, spec }) =>
    waiting(`network-${metadata.name}`, namespace, spec.jobTemplate.spec.template.metadata.labels),
  );
  const others = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: OTHERS } };
  // Its labels are those of the most trusted pod, in a namespace that nobody trusts.
  const stranger = waiting('stranger', OTHERS, { 'app.kubernetes.io/name': 'backend', 'app.kubernetes.io/instance': namespace });
  const items = [others, stranger, ...jobs];
  await kubectl(['apply', '--server-side', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })));
  for (const { metadata } of [stranger, ...jobs]) {
    await kubectl(['-n', metadata.namespace, 'wait', '--for=condition=Ready', `pod/${metadata.name}`, '--timeout=120s']);
  }

  // Not by `ip netns`, which mounts over the networks that the container runtime keeps.
  outside = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
  const networkOf = (pid: number | 'self' = 'self') => readlinkSync(`/proc/${pid}/ns/net`);
  await until('a network of its own', 10, async () => networkOf(outside.pid) !== networkOf());
  const within = (...args: readonly string[]) => execFileSync('nsenter', ['--target', `${outside.pid}`, '--net', 'ip', ...args]);
  ip('link', 'add', 'orfeas-outside', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${outside.pid}`);
  ip('addr', 'add', `${OUTSIDE.gateway}/30`, 'dev', 'orfeas-outside');
  ip('link', 'set', 'orfeas-outside', 'up');
  within('addr', 'add', `${OUTSIDE.address}/30`, 'dev', 'eth0');
  within('link', 'set', 'eth0', 'up');
  within('route', 'add', 'default', 'via', OUTSIDE.gateway);

  const studio = (await list('-n', namespace, 'pods')).filter(running);
  const edge = (await Promise.all(settings.edge.namespaces.map(where => list('-n', where, 'pods'))))
    .flat()
    .filter(running)
    .find(({ metadata }) => named({ metadata }) === 'traefik');
  const [dns] = await list('-n', 'kube-system', 'pods', '-l', 'k8s-app=kube-dns');
  const declared = studio.flatMap(({ spec }) => spec.containers.flatMap((container: Pod) => container.ports ?? []));
  const ports = [...new Set<number>(declared.map(({ containerPort }) => containerPort)), CLOSED];

  targets = [
    ...studio.map(pod => ({ name: named(pod), address: pod.status.podIP, ports })),
    { name: 'dns', address: dns.status.podIP, ports: [53, CLOSED] },
    { name: 'edge', address: edge.status.podIP, ports: [80, 443, CLOSED] },
    { name: 'outside', address: OUTSIDE.address, ports: [OUTSIDE.port, CLOSED] },
  ];
  sources = [
    ...(await Promise.all(studio.map(async pod => ({ name: named(pod), pid: await pidIn(pod) })))),
    { name: 'edge', pid: await pidIn(edge) },
    { name: 'stranger', pid: await pidIn(await get('-n', OTHERS, 'pod', 'stranger')) },
  ];
});

afterAll(async () => {
  outside.kill();
  await kubectl(['-n', namespace, 'delete', 'pods', '--ignore-not-found', ...made]);
  await kubectl(['delete', 'namespace', OTHERS, '--ignore-not-found']);
});

/** What the flows allow among these sources and targets. */
function allowed(): string[] {
  const nameOf = (end: string | { name?: string; namespace?: string }) => (typeof end === 'string' ? end : (end.name ?? end.namespace));
  const apiServer = new BlockList();
  for (const range of settings.network.apiServer) {
    const [network = '', prefix] = range.split('/');
    apiServer.addSubnet(network, Number(prefix), network.includes(':') ? 'ipv6' : 'ipv4');
  }
  return NetworkPolicies.flowsOf(buildApp(settings)).flatMap(flow => {
    // The API server itself is on the node, to which nothing is denied; its addresses are those of others as well.
    const to = flow.to === 'api-server' ? targets.filter(({ address }) => apiServer.check(address)) : [{ name: nameOf(flow.to) }];
    return to.flatMap(target => {
      const asked = 'ports' in target ? portsOf(flow).filter(port => target.ports.includes(port)) : portsOf(flow);
      return asked.map(port => `${nameOf(flow.from)} -> ${target.name}:${port}`);
    });
  });
}

test('each pod reaches what a flow allows it to, and nothing else within the cluster or out of it', async () => {
  expect(sources.map(({ name }) => name)).toEqual(expect.arrayContaining(['backend', 'web', 'redis', 'backup', 'edge', 'stranger']));
  const studio = sources.filter(({ name }) => name !== 'stranger' && name !== 'edge');
  const seen: string[] = [];
  for (const source of studio) {
    const foreign = targets.filter(({ name }) => name !== source.name);
    seen.push(...(await reached(source, foreign)).map(target => `${source.name} -> ${target}`));
  }
  expect([...new Set(seen)].sort()).toEqual(
    allowed()
      .filter(flow => !flow.startsWith('edge ->'))
      .sort(),
  );
});

test('the edge reaches web alone, and a stranger nothing of the studio', async () => {
  const inside = targets.filter(({ name }) => !['dns', 'edge', 'outside'].includes(name));
  const [edge, stranger] = await Promise.all(
    ['edge', 'stranger'].map(name => reached(sources.find(source => source.name === name) as Source, inside)),
  );
  expect(edge?.map(target => `edge -> ${target}`)).toEqual(allowed().filter(flow => flow.startsWith('edge ->')));
  expect(stranger).toEqual([]);
});

test('without a policy the same places are reached', async () => {
  const foreign = targets.filter(({ name }) => ['dns', 'outside'].includes(name));
  const stranger = sources.find(({ name }) => name === 'stranger') as Source;
  expect(await reached(stranger, foreign)).toEqual(['dns:53', `dns:${CLOSED}`, `outside:${OUTSIDE.port}`, `outside:${CLOSED}`]);
});
