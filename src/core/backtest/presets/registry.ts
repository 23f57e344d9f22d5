// Every preset by its name, in the order in which they are shown. A new one is a file beside this one and a line here.

import type { Bounds, Controller } from '../controller.ts';
import { awsTarget } from './aws-target.ts';
import { azure } from './azure.ts';
import { cloudstack } from './cloudstack.ts';
import { gce } from './gce.ts';
import { hpa } from './hpa.ts';
import { nomad } from './nomad.ts';
import { oneflow } from './oneflow.ts';
import { seed75 } from './seed-75.ts';

export const PRESETS: ReadonlyMap<string, (bounds: Bounds) => Controller> = new Map([
  ['hpa', hpa],
  ['aws-target', awsTarget],
  ['gce', gce],
  ['azure', azure],
  ['oneflow', oneflow],
  ['cloudstack', cloudstack],
  ['nomad', nomad],
  ['seed-75', seed75],
]);
