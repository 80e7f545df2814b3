import type { k8s } from 'cdk8s-plus-28';
import type { Settings } from '../config';
import { ownImage, ownImages } from '../config/images';
import { operatorSecrets, secrets, secretsInBackup, TLS_SECRET } from '../config/secrets';
import type { GatewaySpecListeners, HttpRouteSpec } from '../imports/gateway.networking.k8s.io';

/*
 * What holds for every object of every environment. A rule tells what is wrong; nothing when all is well.
 */

/** An object as it is written to dist. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the kind
  readonly [field: string]: any;
}

type Rule = (manifests: readonly Manifest[], settings: Settings) => string[];

interface Pod {
  /** Such as Deployment/backend. */
  readonly owner: string;
  readonly labels: Record<string, string>;
  readonly selector: Record<string, string> | undefined;
  readonly spec: k8s.PodSpec;
}

const title = ({ kind, metadata }: Manifest): string => `${kind}/${metadata.name}`;
const ofKind = (manifests: readonly Manifest[], ...kinds: readonly string[]) => manifests.filter(({ kind }) => kinds.includes(kind));
const missing = (names: readonly (string | undefined)[], known: ReadonlySet<string | undefined>): string[] =>
  names.filter((name): name is string => name !== undefined && !known.has(name));
const namesOf = (manifests: readonly Manifest[], kind: string): Set<string> =>
  new Set(ofKind(manifests, kind).map(({ metadata }) => metadata.name));
const matches = (selector: Record<string, string> = {}, labels: Record<string, string> = {}): boolean =>
  Object.entries(selector).every(([key, value]) => labels[key] === value);

function podsOf(manifests: readonly Manifest[]): Pod[] {
  return ofKind(manifests, 'Deployment', 'StatefulSet', 'CronJob', 'Job').map(manifest => {
    const { template, selector } = manifest.spec.jobTemplate?.spec ?? manifest.spec;
    return { owner: title(manifest), labels: template.metadata?.labels ?? {}, selector: selector?.matchLabels, spec: template.spec };
  });
}

const allContainers = ({ containers, initContainers = [] }: k8s.PodSpec): k8s.Container[] => [...containers, ...initContainers];

const containersOf = (manifests: readonly Manifest[]): { owner: string; pod: Pod; container: k8s.Container; main: boolean }[] =>
  podsOf(manifests).flatMap(pod => [
    ...pod.spec.containers.map(container => ({ owner: `${pod.owner} ${container.name}`, pod, container, main: true })),
    ...(pod.spec.initContainers ?? []).map(container => ({ owner: `${pod.owner} ${container.name}`, pod, container, main: false })),
  ]);

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => [key, ...strings(child)]);
}

/** Grafana writes labels in legends and titles as we write placeholders. */
const LEGEND = /"(legend|title)Format":"[^"]*"/g;
/** Kubernetes makes it in every namespace. */
const CLUSTER_CA = 'kube-root-ca.crt';
/** Ids below may be users of the node. */
const highUser = (id = 0): boolean => id >= 10_000;

/** The backup takes Secrets where it is told to: those of the studio, by their names. */
const readsNamedSecrets = ({ verbs, resources, resourceNames = [] }: k8s.PolicyRule, settings: Settings): boolean =>
  settings.backup.secrets &&
  verbs.join() === 'get' &&
  resources?.join() === 'secrets' &&
  resourceNames.length > 0 &&
  resourceNames.every(name => secretsInBackup(settings).includes(name));

/** Argo CD's hook has CronJob/backup make a backup. Its account is there only while Argo CD, which may do much more, applies changes. */
const startsBackup = (role: Manifest, { verbs, resources }: k8s.PolicyRule): boolean =>
  title(role) === 'Role/backup-before-sync' && resources?.join() === 'jobs' && verbs.join() === 'create,get';

/** Names that sound like a secret's: a file that holds one, and a list of objects. */
const namesSecrets = (name: string, value: string): boolean =>
  (name.endsWith('_FILE') && value.startsWith('/')) || name === 'BACKUP_SECRETS';

const LABELS = ['name', 'instance', 'component', 'part-of', 'managed-by', 'version'].map(name => `app.kubernetes.io/${name}`);

export const rules: Readonly<Record<string, Rule>> = {
  'no two objects share kind, namespace and name': manifests => {
    const keys = manifests.map(m => `${m.apiVersion.split('/')[0]} ${title(m)} ${m.metadata.namespace}`);
    return keys.filter((key, index) => keys.indexOf(key) !== index);
  },
  'every name is a DNS label': manifests =>
    manifests.filter(({ metadata }) => !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(metadata.name)).map(title),
  'every object but the namespace is in the namespace': (manifests, { namespace }) =>
    manifests
      .filter(m => (m.kind === 'Namespace' ? m.metadata.name !== namespace || m.metadata.namespace : m.metadata.namespace !== namespace))
      .map(title),
  'no text says undefined, NaN or [object Object]': manifests =>
    manifests
      .filter(m => strings(m).some(text => /\bundefined\b|\bNaN\b|\[object \w+\]|\{\{\w+\}\}/.test(text.replaceAll(LEGEND, ''))))
      .map(title),
  'no Secret is written out': manifests => ofKind(manifests, 'Secret').map(title),
  'every object has the six labels': manifests =>
    manifests.flatMap(m => missing(LABELS, new Set(Object.keys(m.metadata.labels ?? {}))).map(label => `${title(m)} lacks ${label}`)),
  'every pod has the six labels': manifests =>
    podsOf(manifests).flatMap(({ owner, labels }) => missing(LABELS, new Set(Object.keys(labels))).map(label => `${owner} lacks ${label}`)),
  'the namespace enforces, audits and warns restricted': manifests =>
    ofKind(manifests, 'Namespace').flatMap(({ metadata }) =>
      ['enforce', 'audit', 'warn'].filter(mode => metadata.labels?.[`pod-security.kubernetes.io/${mode}`] !== 'restricted'),
    ),

  'selectors name only what never changes, and select their own pods': manifests =>
    podsOf(manifests)
      .filter(
        ({ selector, labels }) =>
          selector &&
          (Object.keys(selector).sort().join() !== 'app.kubernetes.io/instance,app.kubernetes.io/name' || !matches(selector, labels)),
      )
      .map(({ owner }) => owner),
  'every Service leads to named ports of pods': manifests =>
    ofKind(manifests, 'Service').flatMap(service => {
      const pods = podsOf(manifests).filter(({ labels }) => matches(service.spec.selector, labels));
      if (pods.length !== 1) return [`${title(service)} selects ${pods.length} workloads`];
      const ports = pods.flatMap(({ spec }) => spec.containers).flatMap(({ ports = [] }) => ports);
      return service.spec.ports
        .filter(
          ({ name, port, targetPort = port }: { name?: string; port: number; targetPort?: string | number }) =>
            !name || !ports.some(p => p.containerPort === targetPort || p.name === targetPort),
        )
        .map(({ port }: { port: number }) => `${title(service)} port ${port}`);
    }),
  'every Ingress leads to a Service, over TLS or a redirect': manifests => {
    const services = namesOf(manifests, 'Service');
    const ingresses = ofKind(manifests, 'Ingress');
    const secured = ingresses.flatMap(({ spec }) =>
      (spec.tls ?? []).flatMap(({ secretName, hosts }: k8s.IngressTls) => (secretName === TLS_SECRET ? (hosts ?? []) : [])),
    );
    return ingresses.flatMap(ingress => {
      const backends = ingress.spec.rules.flatMap(
        (rule: k8s.IngressRule) => rule.http?.paths.map(({ backend }) => backend.service?.name) ?? [],
      );
      const annotations = Object.values(ingress.metadata.annotations ?? {}).map(String);
      const redirect = annotations.some(value => value.includes('to-https'));
      // F5's controller has the certificate of a host in one Ingress, and its paths in others.
      const tls = ingress.spec.tls !== undefined || annotations.includes('minion');
      const hosts = ingress.spec.rules.map(({ host }: k8s.IngressRule) => host);
      return [
        ...missing(backends, services).map(name => `${title(ingress)} → Service/${name}`),
        ...(redirect || (tls && missing(hosts, new Set(secured)).length === 0) ? [] : [`${title(ingress)} has neither`]),
      ];
    });
  },
  'every HTTPRoute leads to a Service over TLS, or redirects': manifests => {
    const [services, traefikServices, gateways] = ['Service', 'TraefikService', 'Gateway'].map(kind => namesOf(manifests, kind));
    const secured = ofKind(manifests, 'Gateway').flatMap(({ metadata, spec }) =>
      spec.listeners
        .filter(({ tls }: GatewaySpecListeners) => tls?.certificateRefs?.some(({ name }) => name === TLS_SECRET))
        .map(({ name }: GatewaySpecListeners) => `${metadata.name}/${name}`),
    );
    return ofKind(manifests, 'HTTPRoute').flatMap(route => {
      const { parentRefs = [], rules = [] } = route.spec as HttpRouteSpec;
      const backends = rules.flatMap(({ backendRefs = [] }) => backendRefs);
      const of = (kind: string) => backends.filter(backend => (backend.kind ?? 'Service') === kind).map(({ name }) => name);
      const redirects = rules.every(({ filters = [] }) => filters.some(({ type }) => type === 'RequestRedirect'));
      return [
        ...missing(of('Service'), services as Set<string>).map(name => `${title(route)} → Service/${name}`),
        ...missing(of('TraefikService'), traefikServices as Set<string>).map(name => `${title(route)} → TraefikService/${name}`),
        ...missing(
          parentRefs.map(({ name }) => name),
          gateways as Set<string>,
        ).map(name => `${title(route)} → Gateway/${name}`),
        ...(redirects || parentRefs.every(({ name, sectionName }) => secured.includes(`${name}/${sectionName}`))
          ? []
          : [`${title(route)} is served without TLS`]),
      ];
    });
  },
  'every Deployment and StatefulSet has a disruption budget': manifests =>
    podsOf(manifests)
      .filter(
        ({ selector }) =>
          selector && !ofKind(manifests, 'PodDisruptionBudget').some(pdb => matches(pdb.spec.selector.matchLabels, selector)),
      )
      .map(({ owner }) => owner),
  'every pod is denied all traffic that no policy allows': manifests =>
    podsOf(manifests).flatMap(({ owner, labels }) => {
      const selecting = ofKind(manifests, 'NetworkPolicy').filter(policy => matches(policy.spec.podSelector.matchLabels, labels));
      return ['Ingress', 'Egress']
        .filter(type => !selecting.some(policy => policy.spec.policyTypes.includes(type)))
        .map(type => `${owner} has no ${type} policy`);
    }),
  'no policy allows everything': manifests =>
    ofKind(manifests, 'NetworkPolicy')
      .filter(({ spec }) =>
        [...(spec.ingress ?? []), ...(spec.egress ?? [])].some(rule => !rule.ports?.length || !(rule.from ?? rule.to)?.length),
      )
      .map(title),

  'every Secret that is referred to is one that the operator makes': (manifests, settings) => {
    const keys = new Set<string | undefined>([
      ...Object.values(secrets).map(({ name, key }) => `${name}/${key}`),
      `${TLS_SECRET}/tls.crt`,
      ...operatorSecrets(settings).flatMap(({ name, keys }) => keys.map(key => `${name}/${key}`)),
    ]);
    const names = new Set<string | undefined>([
      ...Object.values(secrets).map(({ name }) => name),
      TLS_SECRET,
      ...operatorSecrets(settings).map(({ name }) => name),
    ]);
    return [
      ...podsOf(manifests).flatMap(({ owner, spec }) =>
        missing(
          (spec.volumes ?? []).flatMap(({ secret }) => (secret?.items ?? []).map(({ key }) => `${secret?.secretName}/${key}`)),
          keys,
        ).map(name => `${owner}: ${name}`),
      ),
      ...podsOf(manifests).flatMap(({ owner, spec }) =>
        missing(
          (spec.volumes ?? []).map(({ secret }) => secret?.secretName),
          names,
        ).map(name => `${owner}: ${name}`),
      ),
    ];
  },
  'no Secret is an environment variable': manifests =>
    containersOf(manifests)
      .filter(
        ({ container: { env = [], envFrom = [] } }) =>
          env.some(({ valueFrom }) => valueFrom?.secretKeyRef) || envFrom.some(({ secretRef }) => secretRef),
      )
      .map(({ owner }) => owner),
  'the files of a Secret are read by the group alone, or by the one pod whose users share none': manifests =>
    podsOf(manifests).flatMap(({ owner, spec }) =>
      (spec.volumes ?? [])
        .filter(({ secret }) => secret && secret.defaultMode !== (spec.securityContext?.fsGroup ? 0o440 : 0o444))
        .map(({ name }) => `${owner}: ${name}`),
    ),
  'every ConfigMap and claim that is referred to exists': manifests => {
    const maps = namesOf(manifests, 'ConfigMap');
    const claims = namesOf(manifests, 'PersistentVolumeClaim');
    const ofVolumes = podsOf(manifests).flatMap(({ owner, spec }) => [
      ...missing(
        (spec.volumes ?? []).flatMap(({ configMap, projected }) => [
          configMap?.name,
          ...(projected?.sources ?? []).map(source => source.configMap?.name),
        ]),
        new Set<string | undefined>([...maps, CLUSTER_CA]),
      ).map(name => `${owner}: ConfigMap/${name}`),
      ...missing(
        (spec.volumes ?? []).map(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName),
        claims,
      ).map(name => `${owner}: claim ${name}`),
    ]);
    const ofEnvironment = containersOf(manifests).flatMap(({ owner, container }) =>
      missing(
        (container.envFrom ?? []).map(({ configMapRef }) => configMapRef?.name),
        maps,
      ).map(name => `${owner}: ConfigMap/${name}`),
    );
    return [...ofVolumes, ...ofEnvironment];
  },
  'every claim stays when its manifest goes': manifests =>
    ofKind(manifests, 'PersistentVolumeClaim')
      .filter(({ metadata }) => metadata.annotations?.['argocd.argoproj.io/sync-options'] !== 'Prune=false,Delete=false')
      .map(title),
  'every mount has its volume, and every volume its mount': manifests =>
    podsOf(manifests).flatMap(({ owner, spec }) => {
      const volumes = new Set((spec.volumes ?? []).map(({ name }) => name));
      const mounts = new Set(allContainers(spec).flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name)));
      return [...missing([...mounts], volumes), ...missing([...volumes], mounts)].map(name => `${owner}: ${name}`);
    }),
  'every scratch volume is limited': manifests =>
    podsOf(manifests).flatMap(({ owner, spec }) =>
      (spec.volumes ?? []).filter(({ emptyDir }) => emptyDir && !emptyDir.sizeLimit).map(({ name }) => `${owner}: ${name}`),
    ),
  'pods roll when their configuration changes, or read it again': manifests =>
    ofKind(manifests, 'Deployment', 'StatefulSet')
      .filter(({ spec }) => !/^[0-9a-f]{16}$/.test(spec.template.metadata.annotations?.['checksum/config'] ?? ''))
      .filter(({ spec }) => !spec.template.spec.containers[0].args?.includes('--config.auto-reload'))
      .map(title),

  'every pod runs as a high, numeric user with the default seccomp profile': manifests =>
    podsOf(manifests)
      .filter(
        ({ spec: { securityContext: s } }) =>
          !(s?.runAsNonRoot && highUser(s.runAsUser) && highUser(s.runAsGroup) && s.seccompProfile?.type === 'RuntimeDefault'),
      )
      .map(({ owner }) => owner),
  'no pod gets a token or the environment of other Services': manifests =>
    podsOf(manifests)
      .filter(({ spec }) => spec.automountServiceAccountToken !== false || spec.enableServiceLinks !== false)
      .map(({ owner }) => owner),
  'no account has rights beyond the namespace, or to change anything, or to Secrets, or to everything': (manifests, settings) => [
    ...ofKind(manifests, 'ClusterRole', 'ClusterRoleBinding').map(title),
    ...ofKind(manifests, 'Role')
      .filter(role =>
        role.rules.some((granted: k8s.PolicyRule) => {
          const { apiGroups = [], resources = [], verbs } = granted;
          return (
            [...apiGroups, ...resources].includes('*') ||
            (verbs.some(verb => !['get', 'list', 'watch'].includes(verb)) && !startsBackup(role, granted)) ||
            (resources.includes('secrets') && !(title(role) === 'Role/backup' && readsNamedSecrets(granted, settings)))
          );
        }),
      )
      .map(title),
  ],
  'a token is projected into one container alone, of a pod whose account has a Role': manifests => {
    const bound = new Set<string | undefined>(
      ofKind(manifests, 'RoleBinding').flatMap(({ subjects }) => subjects.map(({ name }: { name: string }) => name)),
    );
    return podsOf(manifests)
      .filter(({ spec }) => {
        const tokens = (spec.volumes ?? [])
          .filter(({ projected }) => projected?.sources?.some(source => source.serviceAccountToken))
          .map(({ name }) => name);
        const mounting = allContainers(spec).filter(({ volumeMounts = [] }) => volumeMounts.some(({ name }) => tokens.includes(name)));
        return bound.has(spec.serviceAccountName) ? mounting.length !== 1 : mounting.length > 0;
      })
      .map(({ owner }) => owner);
  },
  'every CronJob runs once at a time, in a named time zone, and makes up for a missed start': manifests =>
    ofKind(manifests, 'CronJob')
      .filter(({ spec }) => spec.concurrencyPolicy !== 'Forbid' || !spec.timeZone || !(spec.startingDeadlineSeconds >= 3600))
      .map(title),
  'a backup can change no claim but its repository, and no more of Prometheus than a snapshot': manifests =>
    podsOf(manifests)
      .filter(({ owner }) => ['CronJob/backup', 'CronJob/backup-verify'].includes(owner))
      .flatMap(({ owner, spec }) => {
        const writable = (spec.volumes ?? [])
          .filter(({ persistentVolumeClaim: claim }) => claim && !claim.readOnly && claim.claimName !== 'backups')
          .map(({ name }) => name);
        return allContainers(spec).flatMap(({ name: container, volumeMounts = [] }) =>
          volumeMounts
            .filter(({ name, readOnly }) => writable.includes(name) && !readOnly)
            .filter(({ name }) => container !== 'metrics-snapshot' || name !== 'prometheus-data')
            .map(({ name }) => `${owner} ${container}: ${name}`),
        );
      }),
  'no pod shares the host': manifests =>
    podsOf(manifests)
      .filter(({ spec }) => spec.hostNetwork || spec.hostPid || spec.hostIpc || (spec.volumes ?? []).some(({ hostPath }) => hostPath))
      .map(({ owner }) => owner),
  'every container is unprivileged over a read-only root': manifests =>
    containersOf(manifests)
      .filter(
        ({ container: { securityContext: s } }) =>
          !(
            s?.runAsNonRoot &&
            highUser(s.runAsUser) &&
            s.readOnlyRootFilesystem &&
            s.allowPrivilegeEscalation === false &&
            !s.privileged &&
            s.capabilities?.drop?.includes('ALL') &&
            !s.capabilities.add
          ),
      )
      .map(({ owner }) => owner),
  'every container asks for and is limited in CPU, memory and scratch space': manifests =>
    containersOf(manifests).flatMap(({ owner, container }) =>
      (['requests', 'limits'] as const).flatMap(part =>
        ['cpu', 'memory', 'ephemeral-storage']
          .filter(name => !container.resources?.[part]?.[name])
          .map(name => `${owner} has no ${part}.${name}`),
      ),
    ),
  'every long-running container has three probes, ready and alive by different means': manifests =>
    containersOf(manifests)
      .filter(({ pod, main }) => main && pod.selector)
      .filter(({ container: { startupProbe, readinessProbe, livenessProbe } }) => {
        const means = (probe: k8s.Probe | undefined) => JSON.stringify([probe?.httpGet, probe?.exec, probe?.tcpSocket]);
        return !startupProbe || !readinessProbe || !livenessProbe || means(readinessProbe) === means(livenessProbe);
      })
      .map(({ owner }) => owner),
  'every probe asks a port that its container has': manifests =>
    containersOf(manifests).flatMap(({ owner, container }) =>
      [container.startupProbe, container.readinessProbe, container.livenessProbe]
        .flatMap(probe => probe?.httpGet?.port ?? [])
        .filter(
          port =>
            !(container.ports ?? []).some(({ name, containerPort }) => (port as unknown) === name || (port as unknown) === containerPort),
        )
        .map(port => `${owner}: ${port}`),
    ),
  'every port has a name': manifests =>
    containersOf(manifests).flatMap(({ owner, container }) =>
      (container.ports ?? []).filter(({ name }) => !name).map(({ containerPort }) => `${owner}: ${containerPort}`),
    ),
  'every image has a version, and one of others a digest where digests are asked for': (manifests, { images }) =>
    containersOf(manifests)
      .map(({ container }) => container.image ?? '')
      .filter(
        image =>
          !/:[\w][\w.-]*(@sha256:[0-9a-f]{64})?$/.test(image) ||
          image.includes(':latest') ||
          (images.pin === 'digest' && !ownImages.some(name => image === ownImage(images, name)) && !image.includes('@sha256:')),
      ),
  'no environment variable is set twice, or carries a secret in the open': manifests =>
    containersOf(manifests).flatMap(({ owner, container }) => {
      const names = (container.env ?? []).map(({ name }) => name);
      return [
        ...names.filter((name, index) => names.indexOf(name) !== index),
        ...(container.env ?? [])
          .filter(({ name, value }) => value !== undefined && /SECRET|PASSWORD|TOKEN/.test(name) && !namesSecrets(name, value))
          .map(({ name }) => name),
      ].map(name => `${owner}: ${name}`);
    }),
  'the backend asks for the GPUs that the settings name, in one container alone': (manifests, { gpu }) => {
    const asking = containersOf(manifests).filter(({ container }) => container.resources?.limits?.[gpu.resourceName] !== undefined);
    const amounts = asking.map(({ owner, container }) => `${owner}=${container.resources?.limits?.[gpu.resourceName]}`);
    const expected = gpu.perPod > 0 ? [`Deployment/backend worker=${gpu.perPod}`] : [];
    return amounts.join() === expected.join() ? [] : [`found ${amounts.join() || 'none'}, expected ${expected.join() || 'none'}`];
  },
};

/** Everything that is wrong, as `rule: object`. */
export const violations: Rule = (manifests, settings) =>
  Object.entries(rules).flatMap(([rule, check]) => check(manifests, settings).map(found => `${rule}: ${found}`));
