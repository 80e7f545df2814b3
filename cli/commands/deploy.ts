import { loadSettings, type Settings } from '../../config';
import { grafanaRoute, hosts } from '../../config/derive';
import { type Action, applyObject, type Change, plan, planPrune, prune } from '../apply';
import { verify } from '../certificate';
import { Cluster } from '../cluster';
import { checkHealth } from '../health';
import { Studio } from '../http';
import { buildImages, type ImageTools, imageTools } from '../images';
import { manifests } from '../manifests';
import { ensureNamespace } from '../namespace';
import { title } from '../objects';
import { type CommonOptions, type Outcome, table } from '../outcome';
import { preflight, refuseOnErrors } from '../preflight';
import { isWorkload, waitForRollouts } from '../rollout';
import { ensureSecrets, waitForSecrets } from '../secrets';
import { selfSigned } from '../self-signed';
import { runSteps, type Step, type StepResult } from '../steps';
import { CERTIFICATE, expiryWarning, readPair, trustedCertificates, writePair } from '../tls';

export interface DeployOptions extends CommonOptions {
  readonly skipBuild?: boolean;
  readonly skipTls?: boolean;
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

/** Of a change in the summary; --json has them all. */
const SHOWN_FIELDS = 3;
const ACTIONS: readonly Action[] = ['created', 'configured', 'unchanged', 'pruned'];

const count = (changes: readonly Change[]): string =>
  ACTIONS.map(wanted => `${changes.filter(({ action }) => action === wanted).length} ${wanted}`).join(', ');

const describeFields = (fields: readonly string[]): string =>
  fields.length > SHOWN_FIELDS ? `${fields.slice(0, SHOWN_FIELDS).join(', ')} and ${fields.length - SHOWN_FIELDS} more` : fields.join(', ');

const describeChanges = (changes: readonly Change[]): string =>
  changes
    .filter(({ action }) => action !== 'unchanged')
    .map(({ action, object, fields }) => `  ${action.padEnd(10)}  ${object}${fields ? `: ${describeFields(fields)}` : ''}`)
    .join('\n');

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

/** Brings an environment to the cluster, in eight steps that can be run again at any time. */
export async function deploy(options: DeployOptions, signal: AbortSignal): Promise<Outcome<DeployResult>> {
  const start = Date.now();
  const { dryRun = false, rebuild = false, json } = options;
  const settings = loadSettings(options.env);
  const { namespace, host, environment } = settings;
  const names = hosts(settings);
  const cluster = Cluster.connect(options.context);
  const objects = manifests(settings).flatMap(chart => chart.objects);
  const workloads = objects.filter(isWorkload);
  const warnings: string[] = [];
  const changes = new Map<string, Change>();
  const record = (change: Change): void => {
    // What an earlier step made is no longer new to a later one.
    if (change.action !== 'unchanged' || !changes.has(change.object)) changes.set(change.object, change);
  };
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
        if (!dryRun) for (const change of await ensureNamespace(cluster, settings)) record(change);
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
    {
      name: 'replace',
      title: 'Changes to what runs',
      run: async () => {
        const planned = await plan(cluster, objects, namespace);
        const gone = await planPrune(cluster, objects, namespace);
        if (dryRun) for (const change of [...planned.changes, ...gone]) record(change);
        const drains = planned.drains.map(({ object, seconds }) => `${object} stops first, and may take ${seconds} s to finish its work`);
        const expected = [...planned.changes, ...gone].filter(({ action }) => action !== 'unchanged').length;
        return [expected === 0 ? 'none' : `${expected} object(s)`, ...drains].join('; ');
      },
    },
    {
      name: 'images',
      title: 'Images',
      skip: skipBuild ?? (dryRun ? '--dry-run' : undefined),
      run: progress => buildImages(settings, tools as ImageTools, { rebuild, signal, onLine: progress }),
    },
    {
      name: 'apply',
      title: 'Apply',
      skip: dryRun ? '--dry-run' : undefined,
      run: async () => {
        for (const object of objects) {
          signal.throwIfAborted();
          record(await applyObject(cluster, object));
        }
        for (const change of await prune(cluster, objects, namespace)) record(change);
        return count([...changes.values()]);
      },
    },
    {
      name: 'wait',
      title: 'Wait until everything runs',
      skip: dryRun ? '--dry-run' : undefined,
      run: async progress => {
        await waitForSecrets(cluster, settings, { signal, onProgress: progress });
        await waitForRollouts(cluster, { namespace, workloads, signal, onProgress: progress });
        return workloads.map(title).join(', ');
      },
    },
    {
      name: 'health',
      title: 'Health checks',
      skip: options.skipHealthCheck ? '--skip-health-check' : dryRun ? '--dry-run' : undefined,
      run: async progress => {
        const studio = new Studio({ host, ...(await trustedCertificates(cluster, settings)) });
        await checkHealth(studio, { signal, onProgress: progress }).finally(() => studio.close());
        return `https://${host} answers`;
      },
    },
  ];

  const results: StepResult[] = [];
  const failure = await runSteps(steps, { json, signal }, results).then(
    () => undefined,
    error => ({ error }),
  );
  const seconds = Math.round((Date.now() - start) / 1000);
  const route = grafanaRoute(settings);
  const urls = {
    studio: `https://${host}/`,
    health: `https://${host}/health`,
    ready: `https://${host}/ready`,
    ...(route && { grafana: `https://${route.host}${route.path}` }),
  };
  const made = [...changes.values()];
  const summary = dryRun
    ? [`Nothing was changed. A deployment of ${environment} would mean: ${count(made)}`, describeChanges(made)]
    : [
        `The studio of ${environment} is deployed in ${seconds} s: ${count(made)}`,
        describeChanges(made),
        ...Object.entries(urls).map(([name, url]) => `  ${name.padEnd(10)}  ${url}`),
        'Next:',
        nextCommands(settings),
      ];
  return {
    ok: failure === undefined,
    result: { environment, namespace, context: cluster.context, dryRun, steps: results, changes: made, warnings, urls, seconds },
    text: [...warnings.map(text => `warning: ${text}`), ...(failure ? [] : summary)].filter(Boolean).join('\n'),
    ...failure,
  };
}
