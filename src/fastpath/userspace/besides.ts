/** Work that nobody waits for but who closes the datapath, and who needs the device that it is about. */
export class Besides {
  private readonly works = new Map<Promise<void>, string | undefined>();

  /** `device`: whose name is not free before it is done. */
  begin(work: Promise<void>, failed: (error: unknown) => void, device?: string): void {
    const done = work.catch(failed).then(() => {
      this.works.delete(done);
    });
    this.works.set(done, device);
  }

  async untilFree(device: string): Promise<void> {
    for (const [work, of] of [...this.works]) if (of === device) await work;
  }

  async untilDone(): Promise<void> {
    await Promise.all(this.works.keys());
  }
}
