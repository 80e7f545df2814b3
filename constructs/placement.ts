import type { k8s } from 'cdk8s-plus-28';
import type { Settings } from '../config/schema';
import type { Claim } from './claim';
import type { Pods } from './network-policies';

/*
 * A volume that is ReadWriteOnce is mounted by pods of one node alone. So a pod that reads it beside its holder must run on the
 * holder's node, which may be tainted as a GPU node; and one that reads the volumes of several holders needs them all on one node.
 */

/** Claims, and the workload whose pods hold them. */
export interface Holding {
  readonly holder: Pods & { readonly uid: number };
  readonly claims: readonly Claim[];
}

type Placement = Pick<k8s.PodSpec, 'affinity' | 'tolerations'>;

const sameNode = ({ selector }: Pods): k8s.PodAffinityTerm => ({
  topologyKey: 'kubernetes.io/hostname',
  labelSelector: { matchLabels: { ...selector } },
});

/** On any node that volumes of the studio may be on. */
export const whereVolumesAre = ({ gpu }: Settings, claims: readonly Claim[]): Placement =>
  gpu.tolerations.length > 0 && claims.some(({ onOneNode }) => onOneNode) ? { tolerations: gpu.tolerations as k8s.Toleration[] } : {};

const preferred = (pods: Pods): k8s.WeightedPodAffinityTerm => ({ weight: 100, podAffinityTerm: sameNode(pods) });

/**
 * On the node of those that hold the claims: of the first one for certain, and of the others where they are together. All
 * cannot be demanded, since the scheduler would look for one pod that is each of them.
 */
export function besideHolders(settings: Settings, holdings: readonly Holding[]): Placement {
  const bound = holdings.filter(({ claims }) => claims.some(({ onOneNode }) => onOneNode));
  const [first, ...others] = bound.map(({ holder }) => holder);
  if (first === undefined) return {};
  return {
    ...whereVolumesAre(
      settings,
      bound.flatMap(({ claims }) => claims),
    ),
    affinity: {
      podAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [sameNode(first)],
        ...(others.length > 0 && { preferredDuringSchedulingIgnoredDuringExecution: others.map(preferred) }),
      },
    },
  };
}

/** On the node of other pods, if there is room, with a claim of its own. */
export const beside = (settings: Settings, pods: Pods, claim: Claim): Placement =>
  claim.onOneNode
    ? {
        ...whereVolumesAre(settings, [claim]),
        affinity: { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [preferred(pods)] } },
      }
    : {};
