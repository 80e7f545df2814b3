import type { Settings } from '../config';
import { applyObject, type Change } from './apply';
import type { Cluster } from './cluster';
import { manifests } from './manifests';
import { namespaceFindings, refuseOnErrors } from './preflight';

/** Makes the namespace with its Pod Security labels, unless it is there. */
export async function ensureNamespace(cluster: Cluster, settings: Settings): Promise<Change[]> {
  const { namespace } = settings;
  refuseOnErrors(await namespaceFindings(cluster, namespace));
  const object = manifests(settings)
    .flatMap(({ objects }) => objects)
    .find(({ kind }) => kind === 'Namespace');
  if (object === undefined || (await cluster.get(object)) !== undefined) return [];
  return [await applyObject(cluster, object)];
}
