import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Cluster, PodPort } from './cluster';
import { isReady } from './diagnose';
import { CommandError } from './errors';
import type { Pod, Service } from './objects';

/** A Service whose first port is forwarded. */
export interface ForwardedService {
  readonly namespace: string;
  readonly name: string;
  /** What to do when the cluster has no such Service. */
  readonly remedy: string;
}

/**
 * A pod that is ready to answer for the Service.
 *
 * @throws CommandError when there is no such Service, or none of its pods is ready.
 */
export async function readyPod(cluster: Cluster, { namespace, name, remedy }: ForwardedService): Promise<PodPort> {
  const service = await cluster.get<Service>({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace } });
  if (service === undefined) throw new CommandError(`There is no Service/${name} in ${namespace}`, remedy);
  const labelSelector = Object.entries(service.spec?.selector ?? {})
    .map(pair => pair.join('='))
    .join(',');
  // Without a selector it leads out of the cluster.
  const pods = labelSelector ? await cluster.list<Pod>('v1', 'Pod', namespace, { labelSelector }) : [];
  const pod = pods.find(candidate => isReady(candidate) && !candidate.metadata.deletionTimestamp);
  if (pod === undefined) {
    throw new CommandError(
      `Service/${name} has no ready pod in ${namespace}`,
      `see why: kubectl --context ${cluster.context} --namespace ${namespace} get pods --selector ${labelSelector}`,
    );
  }
  const [first] = service.spec?.ports ?? [];
  const targetPort = first?.targetPort ?? first?.port;
  const named = pod.spec?.containers.flatMap(({ ports = [] }) => ports).find(candidate => candidate.name === targetPort);
  return { namespace, pod: pod.metadata.name, port: named?.containerPort ?? Number(targetPort) };
}

/** Listens on the first of the ports that is free; 0 is any. */
async function listen(server: Server, ports: readonly number[]): Promise<number> {
  let failure: NodeJS.ErrnoException | undefined;
  for (const port of ports) {
    server.listen(port, '127.0.0.1');
    failure = await once(server, 'listening').then(
      () => undefined,
      error => error,
    );
    if (failure === undefined) return (server.address() as AddressInfo).port;
  }
  const why = failure?.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on: ${failure?.code}`;
  throw new CommandError(`Port ${ports.at(-1)} of this machine ${why}`, 'give another --port, or none to have a free one found', {
    cause: failure,
  });
}

export interface ForwardProps {
  /** Ports of this machine, the preferred one first; 0 is any that is free. */
  readonly ports: readonly number[];
  /** Told when connections go to another pod, or fail. */
  readonly onNotice: (text: string) => void;
}

/** A port of this machine that leads to a pod. */
export interface Forward {
  /** Without a slash at its end. */
  readonly url: string;
  /** @throws CommandError when nothing answers. */
  get(path: string, signal: AbortSignal): Promise<Response>;
  close(): void;
}

/**
 * Forwards a port of the loopback interface to a pod.
 *
 * @param find - Asked for each connection, so that another pod may take the place of one that went away.
 * @throws CommandError when there is no pod to forward to, or no port to listen on.
 */
export async function forward(cluster: Cluster, find: () => Promise<PodPort>, { ports, onNotice }: ForwardProps): Promise<Forward> {
  let { pod } = await find();
  let trouble: CommandError | undefined;
  const connections = new Set<Socket>();

  const complain = (error: CommandError): void => {
    // A browser tries again and again.
    if (error.message !== trouble?.message) onNotice([error.message, ...(error.remedy ? [`  → ${error.remedy}`] : [])].join('\n'));
    trouble = error;
  };
  const join = async (connection: Socket): Promise<void> => {
    const target = await find();
    if (target.pod !== pod || trouble) onNotice(`Connections go to Pod/${target.pod} now`);
    pod = target.pod;
    trouble = undefined;
    await cluster.forward(target, connection, complain);
  };
  const server = createServer(connection => {
    connections.add(connection);
    connection.on('close', () => connections.delete(connection));
    // Whoever opened it sees that it ends; there is nobody else to tell.
    connection.on('error', () => connection.destroy());
    join(connection).catch(error => {
      complain(error);
      connection.destroy();
    });
  });
  const port = await listen(server, ports);
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    get: (path, signal) =>
      fetch(`${url}${path}`, { signal, redirect: 'manual' }).catch(error => {
        throw trouble ?? error;
      }),
    close: () => {
      server.close();
      for (const connection of connections) connection.destroy();
    },
  };
}
