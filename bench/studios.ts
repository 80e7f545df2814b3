// Writes the manifests of many studios: node scripts/run.js bench/studios.ts NUMBER FOLDER
import { join } from 'node:path';
import { loadSettings } from '../config';
import { synthesizeStudio } from '../synth';

const [number, folder] = process.argv.slice(2) as [string, string];
const settings = loadSettings('production');
let objects = 0;
for (let index = 0; index < Number(number); index++) {
  const studio = { ...settings, namespace: `${settings.namespace}-${index}`, host: `studio-${index}.example.com` };
  objects += synthesizeStudio(studio, join(folder, studio.namespace)).manifests.length;
}
console.log(objects);
