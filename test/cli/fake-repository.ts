import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extract } from 'tar-stream';
import type { Job } from '../../cli/objects';
import type { FakeCluster } from './fake-cluster';
import type { FakeJobs, Performance } from './fake-jobs';

const running = (...lines: readonly object[]): Performance => ({ state: 'running', logs: { repository: [{ listening: 8080 }, ...lines] } });

/** Stands for what gives and takes backups in the pod of a Job. */
export class FakeRepository {
  /** What it gives: the zip, or as much of it as comes before the connection breaks. */
  zip: { content: Buffer; broken?: boolean } = { content: Buffer.alloc(0) };
  /** Lines of its log from a request on. */
  readonly log: object[] = [];
  /** Its answer to what is announced. */
  announcement: { status: number; body: object } = { status: 201, body: { send: true } };
  /** What was announced, and the names that came. */
  announced: object | undefined;
  readonly came: string[] = [];
  private token = '';
  private job: Job | undefined;

  private constructor(
    private readonly jobs: FakeJobs,
    private readonly server: Server,
  ) {}

  static async start(cluster: FakeCluster, jobs: FakeJobs): Promise<FakeRepository> {
    const server = createServer((request, response) => {
      void repository.answer(request).then(({ status, headers, body, broken }) => {
        response.writeHead(status, headers);
        if (broken) response.write(body, () => response.destroy());
        else response.end(body);
      });
    });
    const repository = new FakeRepository(jobs, server);
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const perform = jobs.perform;
    jobs.perform = (cronJob, job) => {
      const [container] = job.spec?.template.spec?.containers ?? [];
      if (container?.args?.[0] !== 'serve') return perform(cronJob, job);
      repository.job = job;
      repository.token = container.env?.find(({ name }) => name === 'SERVE_TOKEN')?.value ?? '';
      cluster.ports.set(`${job.metadata.name}-pod:8080`, (server.address() as AddressInfo).port);
      return running();
    };
    return repository;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise(resolve => this.server.close(resolve));
  }

  private async answer(
    request: IncomingMessage,
  ): Promise<{ status: number; headers?: Record<string, string | number>; body: string | Buffer; broken?: boolean }> {
    if (request.headers.authorization !== `Bearer ${this.token}`) return { status: 401, body: '{"error": "another token"}' };
    const { content, broken = false } = this.zip;
    if (request.method === 'GET') {
      if (this.log.length > 0) this.jobs.set(this.job as Job, running(...this.log));
      const headers = { 'content-disposition': 'attachment; filename="orfeas_backup_20260101_030000.zip"', 'orfeas-bytes': content.length };
      return { status: 200, headers, body: content, broken };
    }
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      this.announced = JSON.parse(Buffer.concat(chunks).toString());
      if (this.announcement.status === 200) this.end();
      return { ...this.announcement, body: JSON.stringify(this.announcement.body) };
    }
    for await (const entry of request.pipe(extract() as never) as unknown as ReturnType<typeof extract>) {
      this.came.push(entry.header.name);
      entry.resume();
    }
    this.end();
    return { status: 202, body: '{}' };
  }

  private end(): void {
    const failed = this.log.some(line => 'error' in line);
    this.jobs.set(this.job as Job, { state: failed ? 'failed' : 'succeeded', logs: { repository: [{ listening: 8080 }, ...this.log] } });
  }
}
