# Makes the videos and, with ffmpeg 5.1.9, the pixels that it gives of them: `sh make.sh`.
waves='geq=r=128+100*sin(X/9):g=128+100*sin(Y/7+1):b=128+100*cos((X+Y)/11)'
make() { # name, matrix and range of the pixels, tags
    name=$1 matrix=$2 range=$3; shift 3
    ffmpeg -v error -y -f lavfi -i "color=black:s=32x32:r=12:d=0.08,format=gbrp,$waves,scale=out_color_matrix=$matrix:out_range=$range,format=yuv420p" \
        -c:v libx264 -qp 8 "$@" -bsf:v filter_units=remove_types=6 -fflags +bitexact "$name.mp4"
    ffmpeg -v error -y -i "$name.mp4" -pix_fmt rgb24 -f rawvideo "$name.rgb"
}
make untagged bt601 tv
make bt601-limited bt601 tv -colorspace smpte170m -color_range tv
make bt601-full bt601 pc -colorspace smpte170m -color_range pc
make bt709-limited bt709 tv -colorspace bt709 -color_range tv
make bt709-full bt709 pc -colorspace bt709 -color_range pc
