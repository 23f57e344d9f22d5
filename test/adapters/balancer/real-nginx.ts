// The distribution's nginx in front of one upstream, in a temporary folder.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../demo/daemon-process.ts';
import { renderServers } from '../../../src/adapters/balancer/file/render.ts';
import type { FrontAddress } from './front.ts';
import { accepts, programPath, RealProgram } from './real-program.ts';

export class RealNginx {
  readonly folder: string;
  readonly front: FrontAddress;
  readonly #program: RealProgram;

  private constructor(folder: string, front: FrontAddress, program: RealProgram) {
    this.folder = folder;
    this.front = front;
    this.#program = program;
  }

  static async start(): Promise<RealNginx> {
    const folder = await mkdtemp(join(tmpdir(), 'vs-ng-'));
    const front = { host: '127.0.0.1', port: await freePort() };
    await writeFile(join(folder, 'web.conf'), renderServers('nginx', 'web', []));
    await writeFile(join(folder, 'nginx.conf'), configText(folder, front));
    const argv = [programPath('nginx'), ...arguments_(folder)] as const;
    const program = new RealProgram(argv, () => accepts(front));
    await program.start();
    return new RealNginx(folder, front, program);
  }

  get upstreamFile(): string {
    return join(this.folder, 'web.conf');
  }

  get reloadCommand(): readonly string[] {
    return [programPath('nginx'), ...arguments_(this.folder), '-s', 'reload'];
  }

  async restart(): Promise<void> {
    await this.#program.stop();
    await this.#program.start();
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  async remove(): Promise<void> {
    await this.#program.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function arguments_(folder: string): readonly string[] {
  return ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')];
}

function configText(folder: string, { host, port }: FrontAddress): string {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${join(folder, kind)};`)
    .join('\n');
  return `daemon off;
worker_processes 1;
pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')};
events { worker_connections 256; }
http {
  access_log off;
${paths}
  include ${join(folder, 'web.conf')};
  server {
    listen ${host}:${port};
    location / { proxy_pass http://web; proxy_read_timeout 30s; }
  }
}
`;
}
