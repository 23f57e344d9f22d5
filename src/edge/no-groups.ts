// Groups as users see them: they are the operator's, so there are none. Without any state.
// Not here: the rest of what a user sees (own-view), who is a user (visibility).

import { type Refused, refuse } from '../engine/fabric-parts.ts';
import type { CommandResult, EngineView, GroupStatus, WhyRecord } from '../engine/view.ts';

type GroupCommands = Pick<
  EngineView,
  'groups' | 'group' | 'setDesired' | 'pause' | 'resume' | 'suspend' | 'refresh' | 'why' | 'postMetric'
>;

export class NoGroups implements GroupCommands {
  groups(): readonly GroupStatus[] {
    return [];
  }

  group(): undefined {
    return undefined;
  }

  setDesired(group: string): Promise<CommandResult<GroupStatus>> {
    return noGroup(group);
  }

  pause(group: string): Promise<CommandResult<GroupStatus>> {
    return noGroup(group);
  }

  resume(group: string): Promise<CommandResult<GroupStatus>> {
    return noGroup(group);
  }

  suspend(group: string): Promise<CommandResult<GroupStatus>> {
    return noGroup(group);
  }

  refresh(group: string): Promise<CommandResult<GroupStatus>> {
    return noGroup(group);
  }

  why(group: string): Promise<CommandResult<WhyRecord>> {
    return noGroup(group);
  }

  postMetric(group: string): Promise<CommandResult<undefined>> {
    return noGroup(group);
  }
}

async function noGroup(name: string): Promise<Refused> {
  return refuse('not-found', `there is no group ${name}`);
}
