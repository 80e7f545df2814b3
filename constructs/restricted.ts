import { k8s } from 'cdk8s-plus-28';
import type { ContainerResources } from '../config/schema';

const quantity = k8s.Quantity.fromString;
export const cpuQuantity = (cores: number) => quantity(Number.isInteger(cores) ? `${cores}` : `${Math.round(cores * 1000)}m`);
/** As the API server writes it, so that what is applied is what is read back. */
export const mebibytesQuantity = (mebibytes: number) => quantity(mebibytes % 1024 === 0 ? `${mebibytes / 1024}Gi` : `${mebibytes}Mi`);
export const countQuantity = (count: number) => quantity(`${count}`);

/** Groups of a pod's processes, besides that of their user. */
export interface Groups {
  /** To which the pod's volumes are given. */
  readonly fsGroup?: number;
  readonly supplementalGroups?: readonly number[];
}

/** Security of a pod that passes Pod Security `restricted`. Its volumes are its user's, unless other groups are named. */
export const restrictedPod = (
  uid: number,
  { fsGroup, supplementalGroups }: Groups = { fsGroup: uid },
): Pick<k8s.PodSpec, 'securityContext' | 'automountServiceAccountToken' | 'enableServiceLinks'> => ({
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  securityContext: {
    runAsNonRoot: true,
    runAsUser: uid,
    runAsGroup: uid,
    ...(fsGroup && { fsGroup, fsGroupChangePolicy: 'OnRootMismatch' }),
    ...(supplementalGroups?.length && { supplementalGroups: [...supplementalGroups] }),
    seccompProfile: { type: 'RuntimeDefault' },
  },
});

/** Security of a container that passes Pod Security `restricted`. */
export const restrictedContainer = (uid: number): k8s.SecurityContext => ({
  runAsNonRoot: true,
  runAsUser: uid,
  runAsGroup: uid,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
});

/** Requests and limits; an extended resource, such as a GPU, is asked for as a limit. */
export const toResources = (
  { requests, limits, ephemeralMebibytes }: ContainerResources,
  extended: Readonly<Record<string, number>> = {},
): k8s.ResourceRequirements => ({
  requests: {
    cpu: cpuQuantity(requests.cpu),
    memory: mebibytesQuantity(requests.memoryMebibytes),
    'ephemeral-storage': mebibytesQuantity(Math.ceil(ephemeralMebibytes / 4)),
  },
  limits: {
    cpu: cpuQuantity(limits.cpu),
    memory: mebibytesQuantity(limits.memoryMebibytes),
    'ephemeral-storage': mebibytesQuantity(ephemeralMebibytes),
    ...Object.fromEntries(Object.entries(extended).map(([name, amount]) => [name, countQuantity(amount)])),
  },
});

/** A writable folder below a read-only root. */
export const scratch = (name: string, sizeMebibytes: number, medium?: 'Memory'): k8s.Volume => ({
  name,
  emptyDir: { sizeLimit: mebibytesQuantity(sizeMebibytes), ...(medium && { medium }) },
});
