/** Types that routes are built on reach migrations, which are imported as text. */
declare module "*.sql" {
  const text: string;
  export default text;
}
