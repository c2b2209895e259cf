/** A picture as PNG, drawn on a canvas. Knows nothing of what is in it. */
import { MOST_PIXELS, type Picture } from './picture.ts';

/** @param scale pixels of the canvas to one of CSS. @throws Error when the browser makes no picture */
export async function pngOf(
  { width, height, shapes, fonts }: Picture,
  scale: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const canvas = document.createElement('canvas');
  canvas.width = Math.min(MOST_PIXELS, Math.ceil(width * scale));
  canvas.height = Math.ceil(height * scale);
  const context = canvas.getContext('2d')!;
  context.scale(scale, scale);
  for (const shape of shapes) {
    if (shape.is === 'rect') {
      context.fillStyle = shape.colour;
      context.fillRect(shape.x, shape.y, shape.width, shape.height);
      continue;
    }
    const { y, runs, font, size, italic = false, bold = false, end = false } = shape;
    context.font = `${italic ? 'italic ' : ''}${bold ? '600 ' : ''}${size}px ${fonts[font]}`;
    context.textAlign = end ? 'right' : 'left';
    let { x } = shape;
    for (const { text, colour } of runs) {
      context.fillStyle = colour;
      context.fillText(text, x, y);
      x += context.measureText(text).width;
    }
  }
  const blob = await new Promise<Blob | null>((resolve) => {
    canvas.toBlob(resolve, 'image/png');
  });
  if (blob === null) throw new Error('The browser makes no picture of this size.');
  return new Uint8Array(await blob.arrayBuffer());
}
