/**
 * Which flows send to a port. A port's coming and going concerns those alone: with 50,000 flows and a
 * thousand ports that go, looking through all flows for each took most of a minute.
 */
import { type DpAction, someAction } from "../actions.ts";

export class PortUsers {
  private readonly byPort = new Map<number, Set<number>>();

  add(id: number, actions: readonly DpAction[]): void {
    eachOutput(actions, (port) => {
      const users = this.byPort.get(port);
      if (users) users.add(id);
      else this.byPort.set(port, new Set([id]));
    });
  }

  /** With the actions that it was added with. */
  remove(id: number, actions: readonly DpAction[]): void {
    eachOutput(actions, (port) => {
      const users = this.byPort.get(port);
      if (users?.delete(id) && users.size === 0) this.byPort.delete(port);
    });
  }

  /** The flows at this moment, in the order in which they came. */
  of(port: number): number[] {
    return [...this.byPort.get(port) ?? []];
  }
}

function eachOutput(actions: readonly DpAction[], tell: (port: number) => void): void {
  someAction(actions, (action) => {
    if (action.type === "output") tell(action.port);
    return false;
  });
}
