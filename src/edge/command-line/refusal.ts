// What the daemon refuses, as the end of a command: its words, and with no capacity every host with its reason.

import { z } from '@hono/zod-openapi';
import { problemSchema } from '../schemas.ts';
import { CommandFailure, type ExitStatus } from './command-failure.ts';

const hostsSchema = z.array(z.object({ name: z.string(), text: z.string() }));
/** What was typed is wrong: no such thing, or not in this form. */
const BAD_INPUT: ReadonlySet<number> = new Set([400, 404, 413, 415]);

/** `body`: a problem document, or whatever else came with `status` 400 or above. */
export function refusal(url: URL, status: number, body: unknown): CommandFailure {
  const problem = problemSchema.safeParse(body);
  const exitStatus: ExitStatus = BAD_INPUT.has(status) ? 2 : 1;
  if (!problem.success) return new CommandFailure(exitStatus, `${url} answered with status ${status}`);
  const { detail, errors = [] } = problem.data;
  const more = errors.map(({ where, what }) => `  ${where}: ${what}`).filter((line) => !line.includes(detail));
  const lines = [detail, ...(errors.length > 1 ? more : []), ...hostLines(problem.data['hosts']), ...advice(status)];
  return new CommandFailure(exitStatus, lines.join('\n'));
}

/** `hosts` of a problem or of an operation's failure; nothing when there are none. */
export function hostLines(hosts: unknown): readonly string[] {
  const parsed = hostsSchema.safeParse(hosts);
  return parsed.success ? parsed.data.map(({ name, text }) => `  ${name}: ${text}`) : [];
}

function advice(status: number): readonly string[] {
  if (status !== 401) return [];
  return [
    'Sign in with "virtscale login NAME", or give a token with VIRTSCALE_TOKEN, VIRTSCALE_TOKEN_FILE or --token; an admin makes one with "virtscale token create".',
  ];
}
