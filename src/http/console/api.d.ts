/** api.js is imported as text (`with { type: "text" }`), never run here. */
declare const text: string;
export default text;
