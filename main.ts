import { remarks, SettingsError } from './config';
import { publish, SCRATCH, synthesize } from './synth';

const outdir = process.env.CDK8S_OUTDIR ?? SCRATCH;
try {
  const syntheses = synthesize(outdir);
  if (outdir === SCRATCH) publish(syntheses, 'dist');
  for (const { environment, settings } of syntheses) {
    for (const { path, message } of remarks(settings)) console.error(`warning: ${environment}: ${path}: ${message}`);
  }
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
