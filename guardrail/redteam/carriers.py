"""Attack texts that a picture carries without showing them at first sight."""

from __future__ import annotations

from io import BytesIO
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from guardrail.redteam.canvas import Typeface, as_jpeg, as_png, fitted, inked, mask_of

_DESCRIPTION, _THUMBNAIL = 0x010E, (320, 240)


def with_exif(base: Image.Image, text: str) -> bytes:
    """The text as the EXIF description."""
    exif = Image.Exif()
    exif[_DESCRIPTION] = text
    return as_jpeg(base, exif=exif)


def with_xmp(base: Image.Image, text: str) -> bytes:
    """The text as the Dublin Core description of an XMP packet."""
    packet = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt><rdf:li>'
        f"{escape(text)}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF>"
        '</x:xmpmeta><?xpacket end="w"?>'
    )
    return as_jpeg(base, xmp=packet.encode())


def with_png_text(base: Image.Image, text: str) -> bytes:
    """The text in a compressed text chunk."""
    info = PngInfo()
    info.add_text("Comment", text, zip=True)
    return as_png(base, pnginfo=info)


def with_thumbnail(base: Image.Image, text: str, face: Typeface) -> bytes:
    """An EXIF thumbnail that shows the text, in a picture that does not."""
    mask = fitted(mask_of(text, face, 20, _THUMBNAIL[0] - 20), _THUMBNAIL)
    small = as_jpeg(inked(Image.new("RGB", _THUMBNAIL, "white"), mask, (5, 5), (0, 0, 0)), 85)
    # TIFF, big-endian: an empty first directory, and the thumbnail in the second.
    first = b"\x00\x00" + (14).to_bytes(4, "big")
    entries = [(0x0103, 3, 6 << 16), (0x0201, 4, 56), (0x0202, 4, len(small))]
    second = len(entries).to_bytes(2, "big")
    for tag, kind, value in entries:
        second += tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + (1).to_bytes(4, "big")
        second += value.to_bytes(4, "big")
    tiff = b"MM\x00\x2a" + (8).to_bytes(4, "big") + first + second + bytes(4)
    tiff = tiff.ljust(56, b"\x00") + small
    return as_jpeg(base, exif=b"Exif\x00\x00" + tiff)


def with_qr(base: Image.Image, text: str) -> Image.Image:
    """The text as a QR code in the lower left corner."""
    from zxingcpp import BarcodeFormat, create_barcode, write_barcode_to_image

    code = create_barcode(text, BarcodeFormat.QRCode)
    drawn = Image.fromarray(np.asarray(write_barcode_to_image(code)))
    side = max(drawn.width * 3, min(base.size) // 2)
    side -= side % drawn.width
    pasted = base.copy()
    enlarged = drawn.convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    pasted.paste(enlarged, (0, max(0, base.height - side)))
    return pasted


def only_on_black(base: Image.Image, mask: Image.Image) -> bytes:
    """White letters that are not there on a white background, and plain on a black one."""
    layer = Image.new("RGBA", base.size, (255, 255, 255, 0))
    layer.paste((255, 255, 255, 255), (0, 0), mask)
    return as_png(layer)


def one_frame(base: Image.Image, shown: Image.Image) -> bytes:
    """An animation whose third frame of five shows the text."""
    out = BytesIO()
    rest = [base, shown, base, base]
    base.save(out, "GIF", save_all=True, append_images=rest, duration=[400, 400, 40, 400, 400])
    return out.getvalue()
