// The libvirt adapter keeps the port's contract on a real libvirtd with real QEMU guests.
// Not here: what it does beyond the contract (hypervisor-libvirt.test.ts), XML (test/adapters/hypervisor-libvirt).

import { describeHypervisorContract } from '../contracts/hypervisor.ts';
import { realFixture } from '../support/real-hypervisor.ts';

describeHypervisorContract('libvirt and QEMU', realFixture);
