import { rmSync } from 'node:fs';
import { type EnvironmentName, type Remark, remarks, SettingsError } from '../config';
import * as derive from '../config/derive';
import { violations } from '../policy/rules';
import { imagesOf, publish, SCRATCH, type Synthesis, synthesize } from '../synth';
import { style } from './style';

/** What was made for one environment. */
interface Summary {
  readonly environment: EnvironmentName;
  readonly folder: string;
  readonly url: string;
  readonly namespace: string;
  readonly objects: number;
  readonly images: readonly string[];
  readonly engine: string;
  /** GPUs of all backend pods. */
  readonly gpus: number;
  readonly rollout: derive.RolloutStrategy;
  readonly warnings: readonly Remark[];
}

const summarize = ({ environment, settings, manifests }: Synthesis): Summary => ({
  environment,
  folder: `dist/${environment}`,
  url: `https://${settings.host}/`,
  namespace: settings.namespace,
  objects: manifests.length,
  images: imagesOf(manifests),
  engine: settings.model.engine,
  gpus: settings.gpu.perPod * settings.backend.replicas,
  rollout: derive.rolloutStrategy(settings),
  warnings: remarks(settings),
});

function print(summaries: readonly Summary[]): void {
  for (const { environment, folder, url, namespace, objects, images, engine, gpus, rollout, warnings } of summaries) {
    console.log(`${style('bold', folder)}  ${objects} objects, namespace ${namespace}, ${url}`);
    console.log(`  engine ${engine}, ${gpus === 0 ? 'no GPU' : `${gpus} GPU`}, rollout ${rollout}, ${images.length} images (images.txt)`);
    for (const { path, message } of warnings) console.log(style('yellow', `  warning: ${path}: ${message} (config/${environment}.ts)`));
    console.log();
  }
  console.log(`All settings are valid, and every object keeps the rules in policy/. Next:

  npx orfeas deploy                          on the cluster of your kubeconfig: build, deploy, check (environment local)
  npx orfeas deploy --env production         once the warnings above are mended in config/production.ts
  kubectl apply -f dist/local                without this command; first npx orfeas secrets and npx orfeas tls
  npm test                                   check the project
  docs/quick-start.md                        read more`);
}

function start(): void {
  rmSync(SCRATCH, { recursive: true, force: true });
  const syntheses = synthesize(SCRATCH);
  const found = syntheses.flatMap(({ environment, settings, manifests }) =>
    violations(manifests, settings).map(violation => `  ${environment}: ${violation}`),
  );
  if (found.length > 0) {
    console.error(`The manifests break ${found.length} of the rules in policy/rules.ts; dist/ is left as it was:\n${found.join('\n')}`);
    process.exitCode = 1;
    return;
  }
  publish(syntheses, 'dist');
  const summaries = syntheses.map(summarize);
  if (process.argv.includes('--json')) console.log(JSON.stringify(summaries, null, 2));
  else print(summaries);
}

try {
  start();
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  console.error(`${error.message}\n\nNothing was written.`);
  process.exitCode = 1;
}
