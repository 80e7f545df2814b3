import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadSettings } from '../../config';
import type { EnvironmentName } from '../../config/schema';
import { checkoutWith, get, kubectl, orfeas, ROOT, run, until } from './support';

const ARGO_CD = loadSettings('local').gitops.namespace;
/** What the git server of the cluster serves. */
const SERVED = '/var/lib/testbed/git';
const AUTHOR = ['-c', 'user.name=Operator', '-c', 'user.email=operator@example.com'];

async function succeed(file: string, args: readonly string[], cwd = ROOT): Promise<string> {
  const { code, stdout, stderr } = await run(file, args, { cwd });
  if (code !== 0) throw new Error(`${file} ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout.toString().trim();
}

/** Argo CD, and what docs/gitops.md has an operator tell it. */
export async function installArgoCd(): Promise<void> {
  await succeed('testbed', ['add', 'argocd']);
  await kubectl(['-n', ARGO_CD, 'patch', 'configmap', 'argocd-cm', '--patch-file', 'dist/argocd/argocd-cm.patch.yaml']);
}

/** A studio that Argo CD deploys from a repository of its own. */
export class Delivery {
  private readonly name: string;
  private readonly application: string;
  private readonly origin: string;
  private readonly checkout: ReturnType<typeof checkoutWith>;

  /**
   * @param changes of the environment's file
   * @param cluster as Argo CD has it registered, with the label that asks for a studio; its own cluster when absent
   */
  constructor(
    readonly environment: EnvironmentName,
    changes: Readonly<Record<string, string>>,
    private readonly cluster?: string,
  ) {
    this.name = `orfeas-${environment}`;
    this.application = cluster ? `${this.name}-${cluster}` : this.name;
    this.origin = join(SERVED, `${this.name}.git`);
    const url = `git://git.${ARGO_CD}.svc/${this.name}.git`;
    const environmentLine = `environment: '${environment}',`;
    this.checkout = checkoutWith(`config/${environment}.ts`, {
      [environmentLine]: `${environmentLine} gitops: { repository: '${url}' },`,
      ...changes,
    });
  }

  get folder(): string {
    return this.checkout.folder;
  }

  /** Has Argo CD deploy what the first commit has. */
  async start(): Promise<string> {
    rmSync(this.origin, { recursive: true, force: true });
    mkdirSync(SERVED, { recursive: true });
    await succeed('git', ['init', '--quiet', '--bare', '--initial-branch=main', this.origin]);
    await succeed('git', ['init', '--quiet', '--initial-branch=main'], this.folder);
    const revision = await this.commit({});
    const folder = join(this.folder, 'dist/argocd', this.environment);
    if (this.cluster) {
      await this.register(this.cluster);
      await kubectl(['apply', '--server-side', '-f', `${folder}/00-project.k8s.yaml`, '-f', `${folder}/20-clusters.k8s.yaml`]);
    } else {
      await kubectl(['apply', '--server-side', '-f', folder]);
    }
    await until(this.application, 60, () => this.status());
    return revision;
  }

  private async register(cluster: string): Promise<void> {
    const labels = { 'argocd.argoproj.io/secret-type': 'cluster', 'orfeas/environment': this.environment };
    const stringData = { name: cluster, server: 'https://kubernetes.default.svc', config: '{}' };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: cluster, namespace: ARGO_CD, labels }, stringData };
    await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(secret)));
  }

  /** Changes settings, and pushes what they make; the revision. */
  async commit(changes: Readonly<Record<string, string>>): Promise<string> {
    const file = join(this.folder, `config/${this.environment}.ts`);
    let text = readFileSync(file, 'utf8');
    for (const [from, to] of Object.entries(changes)) {
      if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
      text = text.replace(from, to);
    }
    writeFileSync(file, text);
    await succeed('npm', ['run', '--silent', 'synth'], this.folder);
    return this.push('Change settings');
  }

  /** Takes the last commit back; the revision. */
  async revert(): Promise<string> {
    await succeed('git', [...AUTHOR, 'revert', '--no-edit', 'HEAD'], this.folder);
    return this.push();
  }

  private async push(message?: string): Promise<string> {
    await succeed('git', ['add', 'config', 'dist'], this.folder);
    if (message) await succeed('git', [...AUTHOR, 'commit', '--quiet', '--message', message], this.folder);
    await succeed('git', ['push', '--quiet', this.origin, 'main'], this.folder);
    return succeed('git', ['rev-parse', 'HEAD'], this.folder);
  }

  // biome-ignore lint/suspicious/noExplicitAny: the status of an Application
  private async status(): Promise<any> {
    return (await get('-n', ARGO_CD, 'applications.argoproj.io', this.application)).status;
  }

  /** How the hook ended that the sync to a revision began with. */
  async hook(revision: string): Promise<string | undefined> {
    const { syncResult } = (await this.status()).operationState;
    if (!syncResult?.revisions.includes(revision)) return undefined;
    const hooks = (syncResult.resources ?? []).filter(
      ({ kind, hookType }: { kind: string; hookType?: string }) => hookType && kind === 'Job',
    );
    return hooks[0]?.hookPhase;
  }

  private refresh(): Promise<Buffer> {
    const annotation = 'argocd.argoproj.io/refresh=normal';
    return kubectl(['-n', ARGO_CD, 'annotate', 'applications.argoproj.io', this.application, annotation, '--overwrite']);
  }

  /** Waits until Argo CD finds the studio to be as the revision has it; the status of the Application. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  async synced(revision: string, seconds = 420): Promise<any> {
    await this.refresh();
    return until(`${this.application} as ${revision} has it`, seconds, async () => {
      const status = await this.status();
      const { sync, health, operationState } = status;
      const reached = sync.status === 'Synced' && health.status === 'Healthy' && operationState?.phase === 'Succeeded';
      if (reached && sync.revisions.every((one: string) => one === revision)) return status;
      throw new Error(JSON.stringify({ sync: sync.status, health: health.status, operation: operationState?.message }));
    });
  }

  /** What Argo CD finds to differ when it compares anew. */
  async differences(): Promise<string[]> {
    const { reconciledAt } = await this.status();
    // Times have whole seconds.
    const status = await until('another comparison', 60, async () => {
      await this.refresh();
      const now = await this.status();
      return now.reconciledAt !== reconciledAt && now;
    });
    return status.resources
      .filter((resource: { status: string }) => resource.status !== 'Synced')
      .map((resource: { kind: string; name: string; status: string }) => `${resource.kind}/${resource.name}: ${resource.status}`);
  }

  /** As an operator does who works by hand. */
  async heal(enabled: boolean): Promise<void> {
    await this.patch({ spec: { syncPolicy: { automated: { enabled } } } });
  }

  /** As an operator does when the backup must not be waited for. */
  async syncWithoutHooks(): Promise<void> {
    const sync = { prune: true, syncStrategy: { apply: {} }, syncOptions: ['ServerSideApply=true', 'PruneLast=true'] };
    await this.patch({ operation: { sync } });
    await until('the end of the sync', 120, async () => {
      const { operation, status } = await get('-n', ARGO_CD, 'applications.argoproj.io', this.application);
      return operation === undefined && status.operationState.phase === 'Succeeded';
    });
  }

  private patch(change: object): Promise<Buffer> {
    return kubectl(['-n', ARGO_CD, 'patch', 'applications.argoproj.io', this.application, '--type=merge', '-p', JSON.stringify(change)]);
  }

  /** As an operator takes a studio away, claims aside. */
  async removeStudio(): Promise<void> {
    await this.patch({ metadata: { finalizers: ['resources-finalizer.argocd.argoproj.io'] } });
    await kubectl(['-n', ARGO_CD, 'delete', 'applications.argoproj.io', this.application, '--timeout=300s']);
  }

  async remove(): Promise<void> {
    const remove = (kind: string, name: string) => kubectl(['-n', ARGO_CD, 'delete', kind, name, '--ignore-not-found']);
    await remove('applicationsets.argoproj.io', this.name);
    await remove('applications.argoproj.io', this.application);
    await remove('appprojects.argoproj.io', this.name);
    if (this.cluster) await remove('secrets', this.cluster);
    rmSync(this.origin, { recursive: true, force: true });
    this.checkout.remove();
  }

  /** Runs an orfeas command for the environment, as its settings are here. */
  async orfeas(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await orfeas([...args, '--env', this.environment], this.folder);
    if (code !== 0) throw new Error(`orfeas ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout.toString();
  }
}
