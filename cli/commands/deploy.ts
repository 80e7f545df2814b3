import { loadSettings, type Settings } from '../../config';
import { grafanaRoute, hosts } from '../../config/derive';
import type { Change } from '../apply';
import { verify } from '../certificate';
import { Cluster } from '../cluster';
import { countChanges, Deployment, describeChanges } from '../deployment';
import { buildImages, type ImageTools, imageTools } from '../images';
import { manifests } from '../manifests';
import { ensureNamespace } from '../namespace';
import { type CommonOptions, type Outcome, table } from '../outcome';
import { preflight, refuseOnErrors } from '../preflight';
import { ensureSecrets } from '../secrets';
import { selfSigned } from '../self-signed';
import type { Step, StepResult } from '../steps';
import { CERTIFICATE, expiryWarning, readPair, writePair } from '../tls';

export interface DeployOptions extends CommonOptions {
  readonly skipBuild?: boolean;
  readonly skipTls?: boolean;
  readonly skipBackup?: boolean;
  readonly skipHealthCheck?: boolean;
  readonly rebuild?: boolean;
  readonly dryRun?: boolean;
}

export interface DeployResult {
  readonly environment: string;
  readonly namespace: string;
  readonly context: string;
  readonly dryRun: boolean;
  readonly steps: readonly StepResult[];
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
  /** Where people reach what; `grafana` where the Ingress leads there. */
  readonly urls: Readonly<Record<'studio' | 'health' | 'ready', string>> & { readonly grafana?: string };
  readonly seconds: number;
}

const nextCommands = ({ environment, monitoring }: Settings): string => {
  const commands = [
    ['smoke', 'sends a picture through it and checks the mesh that comes back'],
    ['status', 'tells how it is'],
    ...(monitoring.metrics
      ? [
          ['open grafana', 'shows the dashboards'],
          ['open prometheus', 'shows metrics and alerts'],
        ]
      : []),
  ];
  return table(commands.map(([command, does = '']) => [`  orfeas ${command} --env ${environment}`, does]));
};

/** Brings an environment to the cluster, in ten steps that can be run again at any time. */
export async function deploy(options: DeployOptions, signal: AbortSignal): Promise<Outcome<DeployResult>> {
  const start = Date.now();
  const { dryRun = false, rebuild = false, skipBackup, skipHealthCheck = false, json = false } = options;
  const settings = loadSettings(options.env);
  const { namespace, host, environment } = settings;
  const names = hosts(settings);
  const cluster = Cluster.connect(options.context);
  const objects = manifests(settings).flatMap(chart => chart.objects);
  const warnings: string[] = [];
  const deployment = new Deployment(cluster, { settings, host, objects, dryRun, skipBackup, skipHealthCheck, json, signal });
  const skipBuild = options.skipBuild ? '--skip-build' : settings.images.mirror ? 'images.mirror has them' : undefined;
  const certManager = settings.edge.certificate.source !== 'secret';
  let tools: ImageTools | undefined;

  const steps: Step[] = [
    {
      name: 'preflight',
      title: 'Preflight checks',
      run: async () => {
        const { version, findings } = await preflight(cluster, { settings, objects });
        refuseOnErrors(findings);
        warnings.push(...findings.map(({ message, remedy }) => `${message} → ${remedy}`));
        if (skipBuild === undefined && !dryRun) tools = await imageTools();
        return `cluster "${cluster.context}", Kubernetes ${version}${tools ? `, images by ${tools.builder}` : ''}`;
      },
    },
    {
      name: 'secrets',
      title: 'Secrets',
      run: async () => {
        if (!dryRun) for (const change of await ensureNamespace(cluster, settings)) deployment.record(change);
        if (settings.secrets.mode !== 'cli') return `${settings.secrets.mode} makes them`;
        const made = (await ensureSecrets(cluster, namespace, { dryRun }))
          .filter(({ action }) => action !== 'kept')
          .map(({ name }) => name);
        return made.length === 0 ? 'all are there' : `${dryRun ? 'would make' : 'made'} ${made.join(', ')}`;
      },
    },
    {
      name: 'tls',
      title: 'TLS certificate',
      skip: options.skipTls ? '--skip-tls' : certManager ? 'cert-manager gets it' : undefined,
      run: async progress => {
        const existing = await readPair(cluster, namespace);
        if (existing) {
          const facts = verify(existing, names, CERTIFICATE);
          const soon = expiryWarning(facts);
          if (soon) warnings.push(soon);
          return `there, ${facts.daysLeft} days left`;
        }
        if (dryRun) return `would make a self-signed one for ${names.join(', ')}`;
        progress('making an RSA key of 4096 bits');
        const pair = await selfSigned(names);
        signal.throwIfAborted();
        const { daysLeft } = await writePair(cluster, settings, pair, false);
        return `made a self-signed one for ${names.join(', ')}, ${daysLeft} days left`;
      },
    },
    deployment.replace,
    {
      name: 'images',
      title: 'Images',
      skip: skipBuild ?? (dryRun ? '--dry-run' : undefined),
      run: progress => buildImages(settings, tools as ImageTools, { rebuild, signal, onLine: progress }),
    },
    deployment.pull,
    deployment.backup,
    deployment.apply,
    deployment.wait,
    deployment.health,
  ];

  const results: StepResult[] = [];
  const failure = await deployment.run(steps, results);
  const former = failure && (await deployment.findWayBack());
  if (former !== undefined) warnings.push(`revision ${former} was deployed before → orfeas rollback --env ${environment} goes back to it`);
  const seconds = Math.round((Date.now() - start) / 1000);
  const route = grafanaRoute(settings);
  const urls = {
    studio: `https://${host}/`,
    health: `https://${host}/health`,
    ready: `https://${host}/ready`,
    ...(route && { grafana: `https://${route.host}${route.path}` }),
  };
  const { changes } = deployment;
  const summary = dryRun
    ? [`Nothing was changed. A deployment of ${environment} would mean: ${countChanges(changes)}`, describeChanges(changes)]
    : [
        `The studio of ${environment} is deployed in ${seconds} s: ${countChanges(changes)}`,
        describeChanges(changes),
        ...Object.entries(urls).map(([name, url]) => `  ${name.padEnd(10)}  ${url}`),
        'Next:',
        nextCommands(settings),
      ];
  return {
    ok: failure === undefined,
    result: { environment, namespace, context: cluster.context, dryRun, steps: results, changes, warnings, urls, seconds },
    text: [...warnings.map(text => `warning: ${text}`), ...(failure ? [] : summary)].filter(Boolean).join('\n'),
    ...failure,
  };
}
