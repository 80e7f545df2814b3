import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { get, kubectl, list } from './support';

const SELECTED_NODE = 'volume.kubernetes.io/selected-node';

const apply = (object: object): Promise<Buffer> => kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(object)));

/** A storage class whose volumes are folders of this machine, which is the node, and which clones them. */
export class CloningClass {
  /** As a provisioner that knows nothing of `dataSource`. */
  ignoresSources = false;
  private readonly folder = mkdtempSync(join(tmpdir(), 'orfeas-volumes-'));
  private readonly provisioner: string;
  private readonly stopped = new AbortController();
  private readonly running: Promise<void>;

  private constructor(readonly name: string) {
    this.provisioner = `orfeas.test/${name}`;
    chmodSync(this.folder, 0o755);
    this.running = this.serve();
  }

  static async create(name: string): Promise<CloningClass> {
    const made = new CloningClass(name);
    await apply({
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name },
      provisioner: made.provisioner,
      volumeBindingMode: 'WaitForFirstConsumer',
    });
    return made;
  }

  /** Once no claim is of it any more. */
  async remove(): Promise<void> {
    this.stopped.abort();
    await this.running;
    for (const { metadata } of await this.volumes()) await kubectl(['delete', 'pv', metadata.name]);
    await kubectl(['delete', 'storageclass', this.name]);
    rmSync(this.folder, { recursive: true });
  }

  private async serve(): Promise<void> {
    while (!this.stopped.signal.aborted) {
      try {
        for (const claim of await list('-A', 'pvc')) {
          const wanted = claim.spec.storageClassName === this.name && claim.metadata.annotations?.[SELECTED_NODE];
          if (wanted && !claim.spec.volumeName) await this.provision(claim);
        }
        for (const { metadata, status } of await this.volumes()) {
          if (status.phase !== 'Released') continue;
          await kubectl(['delete', 'pv', metadata.name]);
          rmSync(join(this.folder, metadata.name), { recursive: true });
        }
      } catch (error) {
        console.warn(error);
      }
      await sleep(500);
    }
  }

  private async volumes() {
    return (await list('pv')).filter(({ spec }) => spec.storageClassName === this.name);
  }

  // biome-ignore lint/suspicious/noExplicitAny: a claim as the cluster has it
  private async provision({ metadata: { namespace, name, uid, annotations }, spec }: any): Promise<void> {
    const volume = `pvc-${uid}`;
    const path = join(this.folder, volume);
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path);
    chmodSync(path, 0o777);
    if (spec.dataSource && !this.ignoresSources) {
      const source = await get('-n', namespace, 'pvc', spec.dataSource.name);
      execFileSync('cp', ['-a', `${join(this.folder, source.spec.volumeName)}/.`, path]);
    }
    const key = 'kubernetes.io/hostname';
    await apply({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: volume, annotations: { 'pv.kubernetes.io/provisioned-by': this.provisioner } },
      spec: {
        capacity: { storage: spec.resources.requests.storage },
        accessModes: spec.accessModes,
        storageClassName: this.name,
        claimRef: { namespace, name, uid },
        local: { path },
        nodeAffinity: {
          required: { nodeSelectorTerms: [{ matchExpressions: [{ key, operator: 'In', values: [annotations[SELECTED_NODE]] }] }] },
        },
        persistentVolumeReclaimPolicy: 'Delete',
      },
    });
  }
}
