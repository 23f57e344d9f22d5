// Users as the HTTP API shows them: without their passwords' hashes, which never come here.

import type { UserStatus } from '../engine/user-view.ts';
import type { PublicUser } from './user-schemas.ts';

export function publicUser({ user, quota, used }: UserStatus): PublicUser {
  return {
    name: user.name,
    role: user.role,
    createdAt: user.createdAt,
    ...(user.disabled !== undefined && { disabled: user.disabled }),
    quota: { ...quota },
    used: { ...used },
  };
}
