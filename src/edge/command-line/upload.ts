// A file to the daemon as one PUT: a stream of constant memory, with progress, sent again from the start when the connection is lost.
// fetch hides an answer that comes before the body is through (an image of that name exists); node:http shows it.

import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { imageSchema, type PublicImage } from '../fabric-schemas.ts';
import { jsonOf, known, ofSuccess, type Query, retried } from './api-client.ts';
import type { ClientContext } from './client-context.ts';
import { CommandFailure, cannotRead } from './command-failure.ts';
import { elapsed } from './figures.ts';
import { progressText } from './wait-for-operation.ts';

/** Without a byte moving; and, once all are there, until the daemon has checked them. */
const SILENT_MS = 120_000;
const CHECK_MS = 900_000;
const MAX_ANSWER_BYTES = 1024 * 1024;
const SHOW_EVERY_MS = 200;

export async function uploadImage(
  context: ClientContext,
  name: string,
  file: string,
  query: Query,
): Promise<PublicImage> {
  const { api, terminal } = context;
  const total = await sizeOf(file);
  const url = api.at(`/v1/images/${encodeURIComponent(name)}`, query);
  const headers = {
    ...api.credentials,
    accept: 'application/json',
    'content-type': 'application/octet-stream',
    'content-length': String(total),
    'idempotency-key': randomUUID(),
  };
  const answer = await context.interruptible(async (signal) => {
    const attempt = () => put(url, headers, file, signal, progressOf(context, total));
    return retried(api.url, SILENT_MS, async () => {
      if (signal.aborted) throw interrupted(name);
      return attempt().catch((error: unknown) => {
        throw signal.aborted ? interrupted(name) : error;
      });
    });
  });
  terminal.endProgress();
  return known(url, imageSchema, ofSuccess(url, jsonOf(url, answer)));
}

function interrupted(name: string): CommandFailure {
  return new CommandFailure(130, `the upload was given up; there is no image ${name}`);
}

async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch((error: unknown) => {
    throw cannotRead(file, error);
  });
  if (found.isDirectory()) throw new CommandFailure(2, `${file} is a folder, not an image`);
  if (!found.isFile()) throw new CommandFailure(2, `${file} is not a regular file`);
  if (found.size === 0) throw new CommandFailure(2, `${file} is empty`);
  return found.size;
}

/** Shows how far it is; on a terminal several times a second, elsewhere at each tenth. */
function progressOf({ terminal, json }: ClientContext, total: number): (done: number) => void {
  const beganMs = performance.now();
  let shownMs = Number.NEGATIVE_INFINITY;
  let step = 0;
  return (done) => {
    const nowMs = performance.now();
    const text = progressText({
      text: done < total ? 'sending' : 'sent; the daemon checks it',
      done,
      total,
      unit: 'bytes',
    });
    if (terminal.hasProgressLine) {
      if (done < total && nowMs - shownMs < SHOW_EVERY_MS) return;
      shownMs = nowMs;
      terminal.progress(`${elapsed(nowMs - beganMs)}  ${text}`);
    } else if (!json && Math.floor((10 * done) / total) > step) {
      step = Math.floor((10 * done) / total);
      terminal.error(text);
    }
  };
}

function put(
  url: URL,
  headers: Readonly<Record<string, string>>,
  file: string,
  signal: AbortSignal,
  progress: (done: number) => void,
): Promise<{ readonly status: number; readonly bytes: Uint8Array }> {
  return new Promise((resolve, reject) => {
    const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = make(url, { method: 'PUT', headers, signal });
    let response: IncomingMessage | undefined;
    request.setTimeout(SILENT_MS, () => request.destroy(new Error(`nothing moved for ${SILENT_MS / 1000} s`)));
    request.on('response', (answer) => {
      response = answer;
      collected(answer).then((bytes) => {
        // An answer before the end of the file is a refusal: nobody reads the rest.
        request.destroy();
        resolve({ status: answer.statusCode ?? 0, bytes });
      }, reject);
    });
    request.on('error', (error) => {
      if (response === undefined) reject(error);
    });
    let done = 0;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, next) {
        done += chunk.byteLength;
        progress(done);
        next(null, chunk);
      },
      flush(next) {
        request.setTimeout(CHECK_MS);
        next();
      },
    });
    pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), count, request).catch((error: Error) => {
      // What went wrong on the wire is told by the request itself; what is left is the file.
      if (response === undefined && 'path' in error) {
        request.destroy();
        reject(new CommandFailure(1, `cannot read ${file}: ${error.message}`, error));
      }
    });
  });
}

async function collected(answer: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new CommandFailure(1, 'the daemon answered more than anybody can read');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
