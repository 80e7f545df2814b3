import { ApiObject, type App } from 'cdk8s';
import { chartsOf } from './studio-chart';

const WAVE = 'argocd.argoproj.io/sync-wave';

/** Has Argo CD apply charts in the order of their numbers, each once what came before it is healthy. */
export function numberWaves(app: App): void {
  for (const chart of chartsOf(app)) {
    const wave = /^\d+/.exec(chart.node.id)?.[0];
    if (wave === undefined) throw new Error(`${chart.node.id}: the name of a chart begins with its number`);
    for (const object of chart.node.findAll().filter(ApiObject.isApiObject)) object.metadata.addAnnotation(WAVE, `${Number(wave)}`);
  }
}
