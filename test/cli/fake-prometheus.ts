import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Alert } from '../../cli/prometheus';
import type { FakeCluster } from './fake-cluster';

interface Place {
  readonly namespace?: string;
  /** Of the Service. */
  readonly name?: string;
  readonly pod?: string;
  readonly targetPort?: string | number;
}

/** Answers the two questions of the command, whatever the expression. */
export class FakePrometheus {
  /** Values by metric and labels. */
  series: { metric: Record<string, string>; value: string }[] = [];
  alerts: Alert[] = [];
  /** Answers in place of the API; a promise that never settles never answers. */
  intercept: () => Promise<{ status: number; text: string }> | undefined = () => undefined;
  readonly expressions: string[] = [];
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://prometheus');
      const answer =
        this.intercept() ?? Promise.resolve({ status: 200, text: JSON.stringify({ data: this.answer(pathname, searchParams) }) });
      void answer.then(({ status, text }) => response.writeHead(status).end(text));
    });
  }

  static async start(): Promise<FakePrometheus> {
    const fake = new FakePrometheus();
    fake.server.listen(0, '127.0.0.1');
    await once(fake.server, 'listening');
    return fake;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Makes it the Prometheus, or another server, of the namespace: a Service, and a ready pod behind it. */
  deploy(
    cluster: FakeCluster,
    { namespace = 'orfeas-local', name = 'prometheus', pod = 'prometheus-0', targetPort = 'web' }: Place = {},
  ): void {
    const labels = { app: name };
    cluster.put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { selector: labels, ports: [{ port: 80, targetPort }] },
    });
    cluster.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: pod, namespace, labels },
      spec: { containers: [{ name, ports: [{ name: 'web', containerPort: 9090 }] }] },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    });
    cluster.ports.set(`${pod}:9090`, this.port);
  }

  private answer(path: string, parameters: URLSearchParams): object {
    if (path === '/api/v1/alerts') return { alerts: this.alerts };
    this.expressions.push(parameters.get('query') ?? '');
    return { resultType: 'vector', result: this.series.map(({ metric, value }) => ({ metric, value: [0, value] })) };
  }
}
