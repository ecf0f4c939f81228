"""The formats of archives, one module each.

What belongs here: from an open file to its members, as they lie in it, and what all formats share: limits (`limits`), names
(`names`) and decompression (`streams`). What does not: which format something is, archives in archives, and the order of
things (`stages.unpack`).

Everything here reads forward, in bounded blocks, and writes nothing to disk. What a header says of a size is believed only
where it makes things smaller.
"""
