import type { Settings } from '../config';
import { type Action, applyObject, type Change, type Plan, plan, planPrune, prune } from './apply';
import type { Cluster } from './cluster';
import { checkHealth } from './health';
import { Studio } from './http';
import { makeBackup } from './make-backup';
import { type KubernetesObject, type StatefulSet, title } from './objects';
import { pullAhead } from './pull-ahead';
import { beginRevision, type Conclude, listRevisions, revisionBefore } from './revisions';
import { isWorkload, waitForRollouts } from './rollout';
import { waitForSecrets } from './secrets';
import { runSteps, type Step, type StepResult } from './steps';
import { trustedCertificates } from './tls';

/** Of a change in the summary; --json has them all. */
const SHOWN_FIELDS = 3;
const ACTIONS: readonly Action[] = ['created', 'configured', 'unchanged', 'pruned'];

/** All of them, or the first three and how many there are besides. */
export const firstOf = (names: readonly string[]): string =>
  names.length > SHOWN_FIELDS ? `${names.slice(0, SHOWN_FIELDS).join(', ')} and ${names.length - SHOWN_FIELDS} more` : names.join(', ');

export const countChanges = (changes: readonly Change[]): string =>
  ACTIONS.map(wanted => `${changes.filter(({ action }) => action === wanted).length} ${wanted}`).join(', ');

export const describeChanges = (changes: readonly Change[]): string =>
  changes
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, object, fields }) => `  ${action.padEnd(10)}  ${object}${fields ? `: ${firstOf(fields)}` : ''}`)
    .join('\n');

/** Whether the pods of a workload mount claims. */
function holdsData(object: KubernetesObject): boolean {
  if (!isWorkload(object)) return false;
  const { spec } = object as unknown as StatefulSet;
  return spec?.volumeClaimTemplates !== undefined || (spec?.template.spec?.volumes ?? []).some(volume => volume.persistentVolumeClaim);
}

export interface DeploymentProps {
  readonly settings: Settings;
  /** Where the studio will answer. */
  readonly host: string;
  readonly objects: readonly KubernetesObject[];
  readonly dryRun: boolean;
  readonly skipBackup?: boolean | undefined;
  readonly skipHealthCheck: boolean;
  /** Number of the revision that the objects are of. */
  readonly rollbackTo?: number;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** Makes the cluster run certain objects and nothing older: what a deployment and a rollback have in common. */
export class Deployment {
  private readonly made = new Map<string, Change>();
  private conclude: Conclude | undefined;
  private planned: Plan = { changes: [], drains: [] };

  constructor(
    private readonly cluster: Cluster,
    private readonly props: DeploymentProps,
  ) {}

  get changes(): Change[] {
    return [...this.made.values()];
  }

  record(change: Change): void {
    // What an earlier step made is no longer new to a later one.
    if (change.action !== 'unchanged' || !this.made.has(change.object)) this.made.set(change.object, change);
  }

  /** Lets the cluster check all of it before anything changes. */
  get replace(): Step {
    const { objects, settings, dryRun } = this.props;
    return {
      name: 'replace',
      title: 'Changes to what runs',
      run: async () => {
        this.planned = await plan(this.cluster, objects, settings.namespace);
        const { changes, drains } = this.planned;
        const gone = await planPrune(this.cluster, objects, settings.namespace);
        if (dryRun) for (const change of [...changes, ...gone]) this.record(change);
        const stops = drains.map(({ object, seconds }) => `${object} stops first, and may take ${seconds} s to finish its work`);
        const expected = [...changes, ...gone].filter(({ action }) => action !== 'unchanged').length;
        return [expected === 0 ? 'none' : `${expected} object(s)`, ...stops].join('; ');
      },
    };
  }

  /** Finds out about an image that is not to be had while the old pods run, and has it there when they stop. */
  get pull(): Step {
    const { objects, signal } = this.props;
    return {
      name: 'pull',
      title: 'Images of what stops first',
      skip: this.dry,
      run: async onProgress => {
        const stopping = objects.filter(object => this.planned.drains.some(drain => drain.object === title(object)));
        const pulled: string[] = [];
        for (const object of stopping) pulled.push(...(await pullAhead(this.cluster, object, { signal, onProgress })));
        return pulled.length === 0 ? 'none are new' : `pulled ${pulled.join(', ')}`;
      },
    };
  }

  /** Keeps what the pods that are replaced have on their claims, but for the model, which can be had again. */
  get backup(): Step {
    const { objects, settings, skipBackup, signal } = this.props;
    return {
      name: 'backup',
      title: 'Backup before the upgrade',
      skip: skipBackup ? '--skip-backup' : settings.backup.enabled ? this.dry : 'backup.enabled is false',
      run: async onProgress => {
        const replaced = (object: KubernetesObject): boolean =>
          this.planned.changes.some(
            change => change.object === title(object) && change.fields?.some(field => field.startsWith('spec.template')),
          );
        if (!objects.some(object => holdsData(object) && replaced(object))) return 'not needed: no pod with data is replaced';
        const { namespace } = settings;
        const installed = await this.cluster.get({ apiVersion: 'batch/v1', kind: 'CronJob', metadata: { name: 'backup', namespace } });
        if (installed === undefined) return 'not possible: it is not installed yet';
        return (await makeBackup(this.cluster, settings, { skipModels: true, signal, onProgress })).name;
      },
    };
  }

  get apply(): Step {
    const { objects, settings, host, rollbackTo, signal } = this.props;
    return {
      name: 'apply',
      title: 'Apply',
      skip: this.dry,
      run: async () => {
        this.conclude = await beginRevision(this.cluster, settings.namespace, { host, objects }, rollbackTo);
        for (const object of objects) {
          signal.throwIfAborted();
          this.record(await applyObject(this.cluster, object));
        }
        for (const change of await prune(this.cluster, objects, settings.namespace)) this.record(change);
        return countChanges(this.changes);
      },
    };
  }

  get wait(): Step {
    const { objects, settings, signal } = this.props;
    const workloads = objects.filter(isWorkload);
    return {
      name: 'wait',
      title: 'Wait until everything runs',
      skip: this.dry,
      run: async progress => {
        await waitForSecrets(this.cluster, settings, { signal, onProgress: progress });
        await waitForRollouts(this.cluster, { namespace: settings.namespace, workloads, signal, onProgress: progress });
        return workloads.map(title).join(', ');
      },
    };
  }

  get health(): Step {
    const { settings, host, skipHealthCheck, signal } = this.props;
    return {
      name: 'health',
      title: 'Health checks',
      skip: skipHealthCheck ? '--skip-health-check' : this.dry,
      run: async progress => {
        const studio = new Studio({ host, ...(await trustedCertificates(this.cluster, settings)) });
        await checkHealth(studio, { signal, onProgress: progress }).finally(() => studio.close());
        return `https://${host} answers`;
      },
    };
  }

  /**
   * Runs the steps and records how they end.
   *
   * @returns Why they ended early.
   */
  async run(steps: readonly Step[], results: StepResult[]): Promise<{ readonly error: unknown } | undefined> {
    try {
      await runSteps(steps, this.props, results);
      await this.conclude?.('deployed');
      return undefined;
    } catch (error) {
      // What failed first is what is told. A revision that stays pending was not deployed either.
      await this.conclude?.('failed').catch(() => undefined);
      return { error };
    }
  }

  /** Number of the revision that a rollback would go to, where this changed anything. */
  async findWayBack(): Promise<number | undefined> {
    if (this.conclude === undefined) return undefined;
    return revisionBefore(await listRevisions(this.cluster, this.props.settings.namespace).catch(() => []))?.number;
  }

  private get dry(): string | undefined {
    return this.props.dryRun ? '--dry-run' : undefined;
  }
}
