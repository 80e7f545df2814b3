import { ApiObject } from 'cdk8s';
import type { k8s } from 'cdk8s-plus-28';
import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import type { Manifest } from '../policy/rules';
import { NginxGateway } from './nginx-gateway';
import { StudioCertificate } from './studio-certificate';

type Scanner = 'checkov' | 'kube-score';

/** A finding of a public scanner that is wrong for some objects. */
interface AcceptedFinding {
  readonly scanner: Scanner;
  /** The scanner's id of its check. */
  readonly check: string;
  /** Why it is wrong for an object; undefined where it is not accepted. */
  readonly reason: (manifest: Manifest, settings: Settings) => string | undefined;
}

function imagesOf({ spec }: Manifest): string[] {
  const pod: k8s.PodSpec | undefined = (spec?.jobTemplate?.spec ?? spec)?.template?.spec;
  return [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])].map(({ image }) => image ?? '');
}

const namesTag = (manifest: Manifest): boolean => imagesOf(manifest).some(image => !image.includes('@'));

const REPLICAS: Readonly<Record<string, string>> = {
  backend: 'Each pod takes GPUs of its own: backend.replicas says how many there are to take',
  grafana: 'Its database is a file that one process writes',
  web: 'The cluster is one machine: a second pod would fall with the first',
};

const LOADED = 'The cluster is given its images and has no registry to ask';

/** Whoever adds one says why the object is right and the scanner is not. */
const acceptedFindings: readonly AcceptedFinding[] = [
  {
    scanner: 'checkov',
    check: 'CKV_K8S_15',
    reason: (manifest, { images }) => (images.pullPolicy !== 'Always' && namesTag(manifest) ? LOADED : undefined),
  },
  {
    scanner: 'checkov',
    check: 'CKV_K8S_43',
    reason: (manifest, { images }) => {
      if (!namesTag(manifest)) return undefined;
      return images.pin === 'tag'
        ? 'The cluster is given its images by tag, and knows no digest of theirs'
        : 'Our own image has a digest once it is pushed, and orfeas images lock has written it';
    },
  },
  {
    scanner: 'kube-score',
    check: 'container-image-pull-policy',
    reason: (manifest, { images }) => (images.pullPolicy !== 'Always' && imagesOf(manifest).length > 0 ? LOADED : undefined),
  },
  {
    scanner: 'kube-score',
    check: 'deployment-strategy',
    reason: ({ spec }) =>
      spec?.strategy?.type === 'Recreate' ? 'A new pod would wait for the GPU or the volume that the old one holds' : undefined,
  },
  {
    scanner: 'kube-score',
    check: 'deployment-replicas',
    reason: ({ kind, metadata, spec }) => (kind === 'Deployment' && spec.replicas < 2 ? REPLICAS[metadata.name] : undefined),
  },
  {
    scanner: 'kube-score',
    check: 'networkpolicy-targets-pod',
    reason: ({ kind, metadata }) => {
      if (kind !== 'NetworkPolicy') return undefined;
      if (metadata.name.startsWith(`${StudioCertificate.solver.name}-`)) return 'cert-manager makes its pod when it asks for a certificate';
      return metadata.name.startsWith(`${NginxGateway.pods.name}-`) ? 'NGINX Gateway Fabric makes its pods' : undefined;
    },
  },
];

/** What an object was given to render, which is private: rendering each once more, only to look at it, takes a tenth of synthesis. */
const givenTo = (object: ApiObject): Manifest => ({
  ...Reflect.get(object, 'props'),
  kind: object.kind,
  metadata: object.metadata.toJson(),
});

/** Tells the scanners, by an annotation at each object, which of their findings are wrong for it, and the reader why. */
export function acceptFindings(scope: Construct, settings: Settings): void {
  for (const object of scope.node.findAll().filter(ApiObject.isApiObject)) {
    const manifest = givenTo(object);
    const accepted = acceptedFindings.flatMap(({ scanner, check, reason }) => {
      const why = reason(manifest, settings);
      return why ? [{ scanner, check, why }] : [];
    });
    const checkov = accepted.filter(({ scanner }) => scanner === 'checkov');
    for (const [index, { check, why }] of checkov.entries())
      object.metadata.addAnnotation(`checkov.io/skip${index + 1}`, `${check}=${why}`);

    const kubeScore = accepted.filter(({ scanner }) => scanner === 'kube-score');
    if (kubeScore.length > 0) object.metadata.addAnnotation('kube-score/ignore', kubeScore.map(({ check }) => check).join(','));
    for (const { check, why } of kubeScore) object.metadata.addAnnotation(`kube-score.orfeas/${check}`, why);
  }
}
